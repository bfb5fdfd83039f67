//! Where a rank's channels come from: the shared memory of the launcher that started the process.

use std::ffi::c_int;

use egida_core::binder::bind;
use egida_core::crash::Failpoint;
use egida_core::driver::{Driver, Progress};
use egida_core::engine::{Engine, OnDivergence};
use egida_core::fault::Fault;
use egida_core::ids::Rank;
use egida_core::recovery::RecoveryImage;
use egida_core::setting::Setting;
use egida_core::stack::Scope;
use egida_core::trace::Event;
use egida_shm::{Attached, RankState, ShmDriver};
use egida_spec::protocol::FailureUnit;

use crate::end;
use crate::world::{Patience, World};

/// Environment variable: what to do when a re-execution does not repeat itself, `stop` or `warn`.
const ENV_ON_DIVERGENCE: &str = "EGIDA_ON_DIVERGENCE";

/// The world of a rank that a launcher started; `None` for a program that was started without one.
#[must_use]
pub fn attach() -> Option<Result<Box<dyn World>, Fault>> {
    let attached = ShmDriver::attach_from_env()?;
    Some(attached.and_then(enter).map(|world| Box::new(world) as Box<dyn World>))
}

/// Binds the job's protocol for this rank and puts back what recovery collected.
fn enter(attached: Attached) -> Result<Engine<ShmDriver>, Fault> {
    let Attached {
        mut driver,
        rank,
        incarnation,
        domains,
        failure_unit_is_node,
        specification,
        recovery,
        ..
    } = attached;
    let unit = if failure_unit_is_node { FailureUnit::Node } else { FailureUnit::Process };
    // The launcher has checked and bound the same text; what fails here is another build of the library.
    let other_build = |what: String| {
        Fault::Driver(format!(
            "the launcher's specification does not bind in this library ({what}); are both of one build?"
        ))
    };
    let registry = egida_modules::registry();
    let loaded = egida_spec::load_with("specification", &specification, &registry.vocabulary);
    let protocol = loaded.protocol.ok_or_else(|| {
        other_build(loaded.diagnostics.first().map_or_else(String::new, |first| first.message.clone()))
    })?;
    let setting = Setting { domains: domains.clone(), unit, images: false };
    let bound = bind(&protocol, &registry, &setting, rank).map_err(|errors| {
        other_build(errors.first().map_or_else(String::new, std::string::ToString::to_string))
    })?;
    let image = if recovery.is_empty() {
        RecoveryImage { incarnation, ..RecoveryImage::default() }
    } else {
        RecoveryImage::from_bytes(&recovery)
            .map_err(|error| Fault::Driver(format!("what recovery collected cannot be read: {error}")))?
    };
    let on_divergence = match std::env::var(ENV_ON_DIVERGENCE).as_deref() {
        Ok("warn") => OnDivergence::Warn,
        _ => OnDivergence::Stop,
    };
    if !bound.policy.recovers {
        driver.ends_with_any();
    }
    Engine::new(rank, domains, driver, bound.stack, Some(image), on_divergence)
}

fn tell_warnings(engine: &mut Engine<ShmDriver>) {
    for warning in engine.take_warnings() {
        end::note(&end::told(&warning));
    }
    if let Some(error) = engine.driver().take_trace_trouble() {
        end::note(&format!("the trace of this rank ends here, because it cannot be written: {error}"));
    }
}

/// A rank among others.
impl World for Engine<ShmDriver> {
    fn park(&mut self) -> Result<(), Fault> {
        tell_warnings(self);
        self.driver().park(ShmDriver::news);
        Ok(())
    }

    fn patience(&self) -> Patience {
        if self.driver_ref().may_spin() { Patience::Spins } else { Patience::Yields }
    }

    fn initialize(&mut self) -> Result<(), Fault> {
        self.driver().set_state(RankState::Initialized);
        self.failpoint(Failpoint::Init)
    }

    fn finalize(&mut self) -> Result<(), Fault> {
        self.failpoint(Failpoint::FinalizeEnter)?;
        self.finished();
        self.driver().trace(Event::Finish);
        tell_warnings(self);
        self.driver().set_state(RankState::Finalized);
        self.failpoint(Failpoint::FinalizeExit)
    }

    fn abort(&mut self, _: c_int) {
        // The exit status says it: the launcher ends the job for a rank that leaves without MPI_Finalize.
        tell_warnings(self);
    }

    fn replays(&self) -> bool {
        self.stack().scope() != Scope::Nothing
    }

    fn counts(&self) -> Progress {
        Engine::counts(self)
    }

    fn first_of_host(&self) -> Rank {
        self.driver_ref().first_of_host()
    }

    fn rolls_back(&self) -> bool {
        self.stack().detects_orphans()
    }
}

#[cfg(test)]
mod tests;
