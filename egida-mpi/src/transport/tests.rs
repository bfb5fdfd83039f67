//! Two engines over one memory: what is taken in one step is what would have been received in several.

use egida_core::api::{Api, Matched, Pattern, ReceiveId, Take};
use egida_core::wire::{Envelope, SendMode};
use egida_shm::{Death, JobConfig, JobMemory, KillSwitch};

use super::*;

const PROTOCOLS: [&str; 2] =
    [include_str!("../../../specs/none.egd"), include_str!("../../../specs/causal.egd")];

/// Ranks 0 and 1 under a protocol, each with a mapping of its own.
fn pair(specification: &str) -> [Engine<ShmDriver>; 2] {
    let config = JobConfig {
        ranks: 2,
        ranks_per_domain: 1,
        failure_unit_is_node: true,
        limit_bytes: 64 << 20,
        specification: specification.into(),
    };
    let job = JobMemory::create_within(&config, 4 << 30).unwrap();
    [0, 1].map(|rank| {
        job.begin_incarnation(rank, 1);
        let fd = job.fd().try_clone_to_owned().unwrap();
        let kill = KillSwitch::parse("", Death::Return).unwrap();
        enter(ShmDriver::attach(fd, rank, 1, kill).unwrap()).unwrap()
    })
}

fn send(from: &mut Engine<ShmDriver>, tag: i32, payload: &[u8]) {
    from.send(1, Envelope { context: 0, tag }, SendMode::Standard, payload).unwrap();
}

fn from_rank_0(tag: i32) -> Pattern {
    Pattern { source: Some(0), context: 0, tag: Some(tag) }
}

const ANYTHING: Pattern = Pattern { source: None, context: 0, tag: None };

fn take(rank: &mut Engine<ShmDriver>, pattern: Pattern) -> (Take, Vec<u8>) {
    let mut payload = Vec::new();
    let taken = rank.take(pattern, &mut |bytes| payload.extend_from_slice(bytes)).unwrap();
    (taken, payload)
}

fn take_posted(rank: &mut Engine<ShmDriver>, id: ReceiveId) -> (Take, Vec<u8>) {
    let mut payload = Vec::new();
    let taken = rank.take_posted(id, &mut |bytes| payload.extend_from_slice(bytes)).unwrap();
    (taken, payload)
}

/// Receives in several steps.
fn receive(rank: &mut Engine<ShmDriver>, id: ReceiveId) -> (Matched, Vec<u8>) {
    while rank.progress().unwrap() {}
    let matched = rank.matched(id).expect("the message is there");
    let mut payload = Vec::new();
    while let Some(piece) = rank.piece(id).unwrap() {
        payload.extend_from_slice(piece);
    }
    rank.finish(id).unwrap();
    (matched, payload)
}

fn message(taken: Take) -> Matched {
    match taken {
        Take::Taken(matched) => matched,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_is_taken_in_one_step() {
    for [mut sender, mut receiver] in PROTOCOLS.map(pair) {
        assert_eq!(take(&mut receiver, from_rank_0(5)).0, Take::NotYet);
        for ssn in 0..100u64 {
            send(&mut sender, 5, &ssn.to_le_bytes()[..(ssn % 9) as usize]);
            let (taken, payload) = take(&mut receiver, from_rank_0(5));
            assert_eq!((message(taken).ssn, &payload[..]), (ssn, &ssn.to_le_bytes()[..(ssn % 9) as usize]));
        }
        assert_eq!(receiver.counts().deliveries, 100);
        assert_eq!(take(&mut receiver, from_rank_0(5)).0, Take::NotYet);
    }
}

#[test]
fn what_takes_several_steps_is_left_to_them() {
    for [mut sender, mut receiver] in PROTOCOLS.map(pair) {
        let long = vec![7; 100_000];
        send(&mut sender, 1, &long);
        send(&mut sender, 2, &[1]);
        assert_eq!(take(&mut receiver, ANYTHING).0, Take::Post, "a choice");
        assert_eq!(take(&mut receiver, from_rank_0(2)).0, Take::Post, "not the first");
        assert_eq!(take(&mut receiver, from_rank_0(1)).0, Take::Post, "not in one piece");
        let second = receiver.post(from_rank_0(2)).unwrap();
        let first = receiver.post(from_rank_0(1)).unwrap();
        assert_eq!(receive(&mut receiver, first).1, long);
        assert_eq!(receive(&mut receiver, second).1, [1]);
    }
}

#[test]
fn a_receive_that_was_posted_before_comes_first() {
    for [mut sender, mut receiver] in PROTOCOLS.map(pair) {
        let anything = receiver.post(ANYTHING).unwrap();
        send(&mut sender, 1, &[1]);
        send(&mut sender, 1, &[2]);
        assert_eq!(take(&mut receiver, from_rank_0(1)).0, Take::Post);
        let named = receiver.post(from_rank_0(1)).unwrap();
        assert_eq!(receive(&mut receiver, anything).1, [1]);
        assert_eq!(receive(&mut receiver, named).1, [2]);
    }
}

#[test]
fn receives_whose_posting_is_put_off_keep_their_order() {
    for [mut sender, mut receiver] in PROTOCOLS.map(pair) {
        let ids: Vec<ReceiveId> = (0..4).map(|_| receiver.post(from_rank_0(3)).unwrap()).collect();
        assert!(receiver.defers());
        for number in 0..4 {
            send(&mut sender, 3, &[number]);
        }
        assert_eq!(take_posted(&mut receiver, ids[1]).0, Take::NotYet, "another comes first");
        assert_eq!(take_posted(&mut receiver, ids[0]).1, [0]);
        assert_eq!(take_posted(&mut receiver, ids[1]).1, [1]);
        // A receive of anything has to know what is posted.
        let anything = receiver.post(ANYTHING).unwrap();
        assert!(!receiver.defers());
        assert_eq!(take_posted(&mut receiver, ids[2]).0, Take::Post);
        assert_eq!(receive(&mut receiver, ids[2]).1, [2]);
        assert_eq!(receive(&mut receiver, ids[3]).1, [3]);
        send(&mut sender, 9, &[4]);
        assert_eq!(receive(&mut receiver, anything).1, [4]);
        assert_eq!(receiver.counts().deliveries, 5);
    }
}

#[test]
fn a_receive_whose_posting_is_put_off_is_withdrawn_like_any_other() {
    for [mut sender, mut receiver] in PROTOCOLS.map(pair) {
        let ids = [1, 2, 3].map(|tag| receiver.post(from_rank_0(tag)).unwrap());
        assert!(receiver.withdraw(ids[1]));
        assert!(!receiver.withdraw(ids[1]));
        [1, 2, 3].into_iter().for_each(|tag| send(&mut sender, tag, &[tag as u8]));
        assert_eq!(take_posted(&mut receiver, ids[0]).1, [1]);
        assert_eq!(take_posted(&mut receiver, ids[2]).0, Take::Post, "another message stands before");
        assert_eq!(receive(&mut receiver, ids[2]).1, [3]);
        let second = receiver.post(from_rank_0(2)).unwrap();
        assert_eq!(receive(&mut receiver, second).1, [2]);
    }
}
