//! What the rules on the short list of `checker.rs` refuse, no run of the simulator gets wrong. Here is shown, for each, that it is for the
//! reason that stands there.

mod common;

use common::{case, cases, runner};
use egida_core::binder::Judged;
use egida_core::ids::Domains;
use egida_core::setting::Setting;
use egida_sim::job::Control;
use egida_sim::oracle::judge;
use egida_spec::protocol::{FailureUnit, Protocol};
use proptest::strategy::{Strategy, ValueTree};

const NODE: FailureUnit = FailureUnit::Node;

const RECEIVES: &str = "receive:\n    determinant: {source, sesn, dest, desn}\n";
const OPTIMISTIC: &str = "    Log determinant, message asynchronously on NFS disk\n\
                          send:\n    Piggyback vector clock\n\
                          Protocol to detect orphans: broadcast logical clock\n";
const PESSIMISTIC: &str = "    Log determinant, message synchronously on NFS disk\n";

fn protocol(text: &str) -> Protocol {
    egida_spec::load("excused.egd", text).protocol.expect("this is in the language")
}

/// The rules that refuse a specification.
fn refused_by(protocol: &Protocol) -> Vec<&'static str> {
    let setting = Setting { domains: Domains::blocks(4, 1), unit: NODE, images: false };
    let registry = egida_modules::registry();
    let judged = Judged::new(protocol, &registry, &setting);
    judged.objections().iter().map(|objection| objection.code.as_str()).collect()
}

/// Every run is the same, event by event, whether the specification says something or not.
fn makes_no_difference(test: &str, with: &str, without: &str) {
    let registry = egida_modules::registry();
    let (with, without) = (protocol(with), protocol(without));
    let mut random = runner(7, test, 1);
    let mut deaths = 0;
    for _ in 0..cases(60) {
        let case = case(1).new_tree(&mut random).expect("a case").current();
        let setting = case.setting(NODE);
        let run = |protocol: &Protocol| {
            let judged = Judged::new(protocol, &registry, &setting).despite_objections();
            case.run_judged(&judged, NODE, None)
        };
        let outcome = run(&with);
        assert_eq!(outcome, run(&without), "{case:?}");
        deaths += outcome.deaths.iter().sum::<u32>();
    }
    assert!(deaths > 0, "nobody died");
}

/// EGD017: this engine keeps a message at its sender until a log that lasts has it. An engine that does not gets runs wrong.
#[test]
fn without_a_log_of_messages_senders_keep_them() {
    let protocol = protocol(&format!("{RECEIVES}    Log determinant synchronously on NFS disk\n"));
    assert_eq!(refused_by(&protocol), ["EGD017"]);
    let registry = egida_modules::registry();
    let mut random = runner(7, "EGD017", 1);
    let mut broken = 0;
    for _ in 0..cases(150) {
        let case = case(1).new_tree(&mut random).expect("a case").current();
        let setting = case.setting(NODE);
        let judged = Judged::new(&protocol, &registry, &setting).despite_objections();
        assert_eq!(judge(&case.run_judged(&judged, NODE, None)), None, "{case:?}");
        let forgets = case.run_judged(&judged, NODE, Some(Control::ReleasedOnArrival));
        broken += u32::from(judge(&forgets).is_some());
    }
    assert!(broken > 0, "nothing went wrong where senders let go of what arrived");
}

/// EGD021: where nobody looks for orphans nobody rolls back, and what the line asks for is never done.
#[test]
fn nothing_is_done_on_rollbacks_that_never_come() {
    let without = format!("{RECEIVES}{PESSIMISTIC}");
    let with = format!("{without}On rollback: Log determinant, message on NFS disk\n");
    assert_eq!(refused_by(&protocol(&with)), ["EGD021"]);
    makes_no_difference("EGD021", &with, &without);
}

/// EGD022: the binder takes no other storage on rollback than that of the receives, whatever the checker says.
#[test]
fn another_storage_on_rollback_is_not_bound() {
    let protocol =
        protocol(&format!("{RECEIVES}{OPTIMISTIC}On rollback: Log determinant, message on local disk\n"));
    assert_eq!(refused_by(&protocol), ["EGD022"]);
    let setting = Setting { domains: Domains::blocks(4, 1), unit: NODE, images: false };
    let registry = egida_modules::registry();
    let Err(errors) = Judged::new(&protocol, &registry, &setting).despite_objections().bind(0) else {
        panic!("it is bound");
    };
    let said = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(said.contains("storage on rollback"), "{said}");
}

/// EGD023: all that was logged asynchronously is written out before a rollback, whatever kinds the line names.
#[test]
fn everything_is_written_out_before_a_rollback() {
    let line = |kinds: &str| format!("{RECEIVES}{OPTIMISTIC}On rollback: Log {kinds} on NFS disk\n");
    let (with, without) = (line("determinant"), line("determinant, message"));
    assert_eq!(refused_by(&protocol(&with)), ["EGD023"]);
    assert_eq!(refused_by(&protocol(&without)), [""; 0]);
    makes_no_difference("EGD023", &with, &without);
}

/// EGD026: a refinement of determinants that no message carries changes nothing.
#[test]
fn a_refinement_of_nothing_changes_nothing() {
    let without = format!("{RECEIVES}{PESSIMISTIC}");
    for refinement in ["dependency matrix", "stability vector", "stability matrix"] {
        let with = format!("{without}send:\n    Piggyback {refinement}\n");
        assert_eq!(refused_by(&protocol(&with)), ["EGD026"], "{refinement}");
        makes_no_difference(refinement, &with, &without);
    }
}
