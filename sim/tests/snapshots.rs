//! An application goes on from a snapshot as if nothing had happened.

use std::path::Path;

use egida_core::api::Api;
use egida_core::fault::Fault;
use egida_core::ids::{Domains, Rank};
use egida_core::setting::Setting;
use egida_sim::application::{Application, Model, Step};
use egida_sim::job::Job;
use egida_sim::oracle::judge;
use egida_sim::program::{Op, Scripts};
use egida_sim::run;
use egida_spec::protocol::FailureUnit;

/// Every application is put away and taken up by another before each step.
struct Relayed(Scripts);

struct Relay {
    inner: Box<dyn Application>,
    another: Box<dyn Fn() -> Box<dyn Application>>,
}

impl Model for Relayed {
    fn start(&self, rank: Rank, ranks: u32) -> Box<dyn Application> {
        let scripts = self.0.clone();
        Box::new(Relay {
            inner: self.0.start(rank, ranks),
            another: Box::new(move || scripts.start(rank, ranks)),
        })
    }
}

impl Application for Relay {
    fn step(&mut self, api: &mut dyn Api, live: u64) -> Result<Step, Fault> {
        let mut another = (self.another)();
        another.restore(&self.inner.snapshot())?;
        self.inner = another;
        self.inner.step(api, live)
    }

    fn snapshot(&self) -> Vec<u8> {
        self.inner.snapshot()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), Fault> {
        self.inner.restore(snapshot)
    }

    fn state(&self) -> u64 {
        self.inner.state()
    }

    fn written(&self) -> &[u8] {
        self.inner.written()
    }
}

#[test]
fn a_script_that_is_put_away_before_each_step_does_the_same() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/causal.egd");
    let protocol = egida_spec::load("causal.egd", &std::fs::read_to_string(path).unwrap()).protocol.unwrap();
    let send = |to| Op::Send { to, tag: 1, len: 200, synchronous: to == 1 };
    let post = || Op::Post { from: None, tag: 1 };
    let end = [Op::Read, Op::TestSome(2), Op::WaitAny, Op::WaitAll, Op::Output];
    let scripts = Scripts(vec![
        [post(), post(), send(1), Op::Probe { tag: 1, times: 2 }, send(2)]
            .into_iter()
            .chain(end.clone())
            .collect(),
        [send(0), post(), post()].into_iter().chain(end.clone()).collect(),
        [post(), send(1), send(0)].into_iter().chain(end).collect(),
    ]);
    let simulate = |model: &dyn Model, seed| {
        let setting = Setting { domains: Domains::blocks(3, 1), unit: FailureUnit::Node };
        let job = Job::new(&protocol, setting, model, seed);
        run(&job, &egida_modules::registry()).unwrap_or_else(|errors| panic!("{errors:?}"))
    };
    for seed in 0..50 {
        let outcome = simulate(&scripts, seed);
        assert_eq!(judge(&outcome), None);
        assert_eq!(simulate(&Relayed(scripts.clone()), seed), outcome);
    }
}

#[test]
fn bytes_that_are_no_snapshot_are_refused() {
    let mut application = Scripts(vec![vec![Op::Output]]).start(0, 1);
    assert!(matches!(application.restore(b"\xc1"), Err(Fault::Driver(_))));
}
