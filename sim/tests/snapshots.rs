//! An application goes on from a snapshot as if nothing had happened.

use std::path::Path;
use std::rc::Rc;

use egida_core::api::Api;
use egida_core::fault::Fault;
use egida_core::ids::{Domains, Rank};
use egida_core::setting::Setting;
use egida_sim::application::{Application, Model, Step};
use egida_sim::asynchronous::{Async, Comm};
use egida_sim::job::{Ending, Job};
use egida_sim::oracle::judge;
use egida_sim::program::{Op, Scripts};
use egida_sim::run;
use egida_spec::protocol::FailureUnit;

/// Every application is put away and taken up by another before each step.
struct Relayed<M>(M);

struct Relay {
    inner: Box<dyn Application>,
    another: Rc<dyn Fn() -> Box<dyn Application>>,
}

impl<M: Model + Clone + 'static> Model for Relayed<M> {
    fn start(&self, rank: Rank, ranks: u32) -> Box<dyn Application> {
        let model = self.0.clone();
        Box::new(Relay {
            inner: self.0.start(rank, ranks),
            another: Rc::new(move || model.start(rank, ranks)),
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

    fn duplicate(&self) -> Box<dyn Application> {
        Box::new(Self { inner: self.inner.clone(), another: self.another.clone() })
    }

    fn state(&self) -> u64 {
        self.inner.state()
    }

    fn written(&self) -> &[u8] {
        self.inner.written()
    }
}

/// Whether a model does the same when its applications are put away before each step.
fn compare<M: Model + Clone + 'static>(model: &M) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/causal.egd");
    let protocol = egida_spec::load("causal.egd", &std::fs::read_to_string(path).unwrap()).protocol.unwrap();
    let simulate = |model: &dyn Model, seed| {
        let setting = Setting { domains: Domains::blocks(3, 1), unit: FailureUnit::Node, images: true };
        let job = Job::new(&protocol, setting, model, seed);
        run(&job, &egida_modules::registry()).unwrap_or_else(|errors| panic!("{errors:?}"))
    };
    for seed in 0..50 {
        let outcome = simulate(model, seed);
        assert_eq!(judge(&outcome), None);
        assert_eq!(simulate(&Relayed(model.clone()), seed), outcome);
    }
}

#[test]
fn a_script_that_is_put_away_before_each_step_does_the_same() {
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
    compare(&scripts);
}

/// Rank 0 takes a synchronous message in whatever order, looks before it takes, and tells the others.
async fn talk(comm: Comm) {
    let mut requests = vec![comm.post(None, Some(1)).await, comm.post(None, Some(1)).await];
    for other in (0..comm.size()).filter(|&other| other != comm.rank()) {
        comm.send(other, 1, vec![comm.rank() as u8; 200]).await;
    }
    let mut failures = 0;
    let first = loop {
        match comm.test_any(&mut requests).await {
            Some(message) => break message,
            None => failures += 1,
        }
    };
    let clock = comm.read().await;
    let second = comm.wait_any(&mut requests).await.expect("two were posted");
    comm.write(format!("{} then {}, {failures} {clock:?}\n", first.source, second.source));
    if comm.rank() == 0 {
        comm.send_synchronous(1, 2, b"last".to_vec()).await;
    } else if comm.rank() == 1 {
        while comm.probe(None, Some(2)).await.is_none() {}
        comm.write(comm.receive(Some(0), Some(2)).await.payload);
    }
}

#[test]
fn an_async_function_that_is_put_away_before_each_step_does_the_same() {
    compare(&Async(talk));
}

#[test]
fn a_program_that_awaits_what_nobody_will_answer_is_told_so() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/none.egd");
    let protocol = egida_spec::load("none.egd", &std::fs::read_to_string(path).unwrap()).protocol.unwrap();
    let setting = Setting { domains: Domains::blocks(2, 1), unit: FailureUnit::Process, images: true };
    let model = Async(|_: Comm| std::future::pending());
    let outcome = run(&Job::new(&protocol, setting, &model, 1), &egida_modules::registry()).unwrap();
    let Ending::Failed(_, Fault::Driver(why)) = outcome.end else { panic!("{}", outcome.end) };
    assert!(why.contains("no call of its `Comm`"), "{why}");
}

#[test]
fn bytes_that_are_no_snapshot_are_refused() {
    let mut application = Scripts(vec![vec![Op::Output]]).start(0, 1);
    assert!(matches!(application.restore(b"\xc1"), Err(Fault::Driver(_))));
    let mut application = Async(talk).start(0, 2);
    assert!(matches!(application.restore(b"\xc1"), Err(Fault::Driver(_))));
}
