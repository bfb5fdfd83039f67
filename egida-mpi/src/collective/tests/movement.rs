//! Collectives that only move data.

use super::world::{Area, Failure, INT, Places, data, int_types, predefined, run};
use crate::collective::{
    CollectiveError, Peers, allgather, alltoall, alltoallv, barrier, bcast, gather, gatherv, scatter,
    scatterv,
};
use crate::datatype::class;

/// Numbers of elements that take each way through the algorithms.
const COUNTS: [i64; 4] = [0, 1, 5, 1500];

#[test]
fn nobody_leaves_a_barrier_before_all_have_entered() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    for size in 1..=9 {
        let entered = AtomicUsize::new(0);
        run(size, |peers| {
            for round in 1..=3 {
                entered.fetch_add(1, Ordering::SeqCst);
                barrier(peers).unwrap();
                assert!(entered.load(Ordering::SeqCst) >= round * size);
                barrier(peers).unwrap();
            }
        });
    }
}

#[test]
fn bcast_gives_all_the_roots_data() {
    for size in 1..=9 {
        for datatype in int_types() {
            for count in [0, 1, 5, (300 << 10) / datatype.size() as i64] {
                for root in 0..size {
                    let message = data(count as usize * datatype.size(), root);
                    let expected = Area::holding(&datatype, count, 0, &message);
                    run(size, |peers| {
                        let mut area = Area::new(&datatype, count);
                        if peers.rank() == root {
                            area.put(0, &message);
                        }
                        bcast(peers, root, area.target(count)).unwrap();
                        area.assert_same(&expected, "bcast");
                    });
                }
            }
        }
    }
}

/// Where the blocks of a gather or scatter lie at the root, for each kind of the two.
fn layouts(size: usize) -> Vec<(bool, Places)> {
    let uniform = COUNTS.map(|count| (false, Places::Uniform { count, blocks: size }));
    let uneven = [1, 40].map(|unit| (true, Places::uneven(size, unit, size)));
    uniform.into_iter().chain(uneven).collect()
}

#[test]
fn gather_brings_each_block_to_its_place() {
    for size in 1..=9 {
        for datatype in int_types() {
            for (each, places) in layouts(size) {
                for (root, in_place) in (0..size).flat_map(|root| [(root, false), (root, true)]) {
                    let block = |rank: usize| data(places.block(rank).0 as usize * datatype.size(), rank);
                    run(size, |peers| {
                        let rank = peers.rank();
                        let (count, at) = places.block(rank);
                        let own = Area::holding(&datatype, count, 0, &block(rank));
                        let mut all = Area::new(&datatype, places.elements());
                        let send = if rank == root && in_place {
                            all.put(at, &block(rank));
                            None
                        } else {
                            Some(own.source(count))
                        };
                        let receive = (rank == root).then(|| all.receive_blocks(&places));
                        if each {
                            gatherv(peers, root, send, receive).unwrap();
                        } else {
                            gather(peers, root, send, receive).unwrap();
                        }
                        if rank == root {
                            let mut expected = Area::new(&datatype, places.elements());
                            (0..size).for_each(|from| expected.put(places.block(from).1, &block(from)));
                            all.assert_same(&expected, "gather");
                        }
                    });
                }
            }
        }
    }
}

#[test]
fn scatter_brings_each_block_to_its_rank() {
    for size in 1..=9 {
        for datatype in int_types() {
            for (each, places) in layouts(size) {
                for (root, in_place) in (0..size).flat_map(|root| [(root, false), (root, true)]) {
                    let block = |rank: usize| data(places.block(rank).0 as usize * datatype.size(), rank);
                    run(size, |peers| {
                        let rank = peers.rank();
                        let count = places.block(rank).0;
                        let mut all = Area::new(&datatype, if rank == root { places.elements() } else { 0 });
                        if rank == root {
                            (0..size).for_each(|to| all.put(places.block(to).1, &block(to)));
                        }
                        let mut own = Area::new(&datatype, count);
                        let in_place = in_place && rank == root;
                        let send = (rank == root).then(|| all.send_blocks(&places));
                        let receive = (!in_place).then(|| own.target(count));
                        if each {
                            scatterv(peers, root, send, receive).unwrap();
                        } else {
                            scatter(peers, root, send, receive).unwrap();
                        }
                        if !in_place {
                            own.assert_same(&Area::holding(&datatype, count, 0, &block(rank)), "scatter");
                        }
                    });
                }
            }
        }
    }
}

#[test]
fn allgather_gives_all_every_block() {
    for size in 1..=9 {
        for datatype in int_types() {
            for (_, places) in layouts(size).into_iter().chain([(true, Places::uneven(size, 5000, 2))]) {
                for in_place in [false, true] {
                    let block = |rank: usize| data(places.block(rank).0 as usize * datatype.size(), rank);
                    let mut expected = Area::new(&datatype, places.elements());
                    (0..size).for_each(|from| expected.put(places.block(from).1, &block(from)));
                    run(size, |peers| {
                        let rank = peers.rank();
                        let (count, at) = places.block(rank);
                        let own = Area::holding(&datatype, count, 0, &block(rank));
                        let mut all = Area::new(&datatype, places.elements());
                        if in_place {
                            all.put(at, &block(rank));
                        }
                        let send = (!in_place).then(|| own.source(count));
                        allgather(peers, send, all.receive_blocks(&places)).unwrap();
                        all.assert_same(&expected, "allgather");
                    });
                }
            }
        }
    }
}

#[test]
fn alltoall_exchanges_every_block() {
    for size in 1..=9 {
        for datatype in int_types() {
            for count in COUNTS {
                for in_place in [false, true] {
                    let places = Places::Uniform { count, blocks: size };
                    let block =
                        |from: usize, to: usize| data(count as usize * datatype.size(), 100 * from + to);
                    run(size, |peers| {
                        let rank = peers.rank();
                        let mut out = Area::new(&datatype, places.elements());
                        (0..size).for_each(|to| out.put(places.block(to).1, &block(rank, to)));
                        let mut all = Area::new(&datatype, places.elements());
                        if in_place {
                            (0..size).for_each(|to| all.put(places.block(to).1, &block(rank, to)));
                        }
                        let send = (!in_place).then(|| out.send_blocks(&places));
                        alltoall(peers, send, all.receive_blocks(&places)).unwrap();
                        let mut expected = Area::new(&datatype, places.elements());
                        (0..size).for_each(|from| expected.put(places.block(from).1, &block(from, rank)));
                        all.assert_same(&expected, "alltoall");
                    });
                }
            }
        }
    }
}

#[test]
fn alltoallv_exchanges_blocks_of_any_lengths() {
    // In place, what a pair exchange has one length; otherwise each direction has its own.
    let count = |from: usize, to: usize, in_place: bool| {
        if in_place { (from + to) as i64 % 4 * 9 } else { (3 * from + to) as i64 % 5 * 9 }
    };
    for size in 1..=9 {
        for datatype in int_types() {
            for in_place in [false, true] {
                let len = |from, to| count(from, to, in_place) as usize * datatype.size();
                let block = |from: usize, to: usize| data(len(from, to), 100 * from + to);
                let packed_up = |counts: Vec<i64>| {
                    let mut end = 2;
                    let place = |count: &i64| {
                        end += count + 1;
                        end - count
                    };
                    let displacements = counts.iter().map(place).collect();
                    Places::Each { counts, displacements }
                };
                run(size, |peers| {
                    let rank = peers.rank();
                    let leaving = packed_up((0..size).map(|to| count(rank, to, in_place)).collect());
                    let coming = packed_up((0..size).map(|from| count(from, rank, in_place)).collect());
                    let mut out = Area::new(&datatype, leaving.elements());
                    (0..size).for_each(|to| out.put(leaving.block(to).1, &block(rank, to)));
                    let mut all = Area::new(&datatype, coming.elements());
                    if in_place {
                        (0..size).for_each(|to| all.put(coming.block(to).1, &block(rank, to)));
                    }
                    let send = (!in_place).then(|| out.send_blocks(&leaving));
                    alltoallv(peers, send, all.receive_blocks(&coming)).unwrap();
                    let mut expected = Area::new(&datatype, coming.elements());
                    (0..size).for_each(|from| expected.put(coming.block(from).1, &block(from, rank)));
                    all.assert_same(&expected, "alltoallv");
                });
            }
        }
    }
}

#[test]
fn collectives_follow_one_another_without_mixing_messages() {
    run(7, |peers| {
        let int = predefined(INT);
        for round in 0..20 {
            let root = round % 7;
            let mut one = Area::holding(&int, 1, 0, &data(4, round * 10 + peers.rank()));
            let own = one.packed();
            bcast(peers, root, one.target(1)).unwrap();
            assert_eq!(one.packed(), data(4, round * 10 + root));
            let places = Places::Uniform { count: 1, blocks: 7 };
            let (mine, mut all) = (Area::holding(&int, 1, 0, &own), Area::new(&int, 7));
            allgather(peers, Some(mine.source(1)), all.receive_blocks(&places)).unwrap();
            let expected: Vec<u8> = (0..7).flat_map(|rank| data(4, round * 10 + rank)).collect();
            assert_eq!(all.packed(), expected);
        }
    });
}

#[test]
fn trees_take_as_many_messages_as_they_must() {
    let int = predefined(INT);
    let sent = run(8, |peers| {
        let mut area = Area::new(&int, 1);
        bcast(peers, 3, area.target(1)).unwrap();
        peers.messages_sent
    });
    assert_eq!(sent.iter().sum::<usize>(), 7);
    assert_eq!(sent[3], 3);
}

#[test]
fn disagreement_and_misuse_are_told() {
    let int = predefined(INT);
    let outcomes: Vec<Result<(), Failure>> = run(2, |peers| {
        let mut area = Area::new(&int, 4);
        let count = [4, 2][peers.rank()];
        bcast(peers, 0, area.target(count))
    });
    assert_eq!(outcomes[0], Ok(()));
    let error = CollectiveError::Disagreement { from: 0, sent_bytes: 16, expected_bytes: 8 };
    assert_eq!(error.class(), Some(class::TRUNCATE));
    assert_eq!(outcomes[1], Err(error));

    run(2, |peers| {
        let mut area = Area::new(&int, 4);
        let error = bcast(peers, 2, area.target(1)).unwrap_err();
        assert_eq!(error.class(), Some(class::ROOT));
        let error = gather(peers, peers.rank(), Some(area.source(1)), None).unwrap_err();
        assert_eq!(error, CollectiveError::Missing("receive"));
        let places = Places::Uniform { count: 1, blocks: 3 };
        let error = allgather(peers, None, area.receive_blocks(&places)).unwrap_err();
        assert_eq!(error.class(), Some(class::ARG));
    });
}
