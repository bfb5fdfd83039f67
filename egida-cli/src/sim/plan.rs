//! What the options come to.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use egida_core::ids::Domains;
use egida_core::registry::Registry;
use egida_core::setting::Setting;
use egida_sim::application::Model;
use egida_sim::job::{Job, Outcome};
use egida_sim::models::{APPS, App, Result, Size};
use egida_sim::oracle::judge;
use egida_sim::schedule::{Faults, Schedule};
use egida_spec::declared_unit;
use egida_spec::protocol::FailureUnit;

use super::SimArgs;
use crate::specification::Specification;

/// Up to so many ranks the observer watches who depends on what: what it remembers grows with their square.
const MAX_OBSERVED: u32 = 64;

/// What every run of a command line has in common.
pub(super) struct Plan {
    pub app: &'static App,
    pub seed: u64,
    pub faults: Faults,
    ranks: u32,
    limit_events: u64,
    checkpoint_every: u64,
    model: Box<dyn Model>,
}

impl Plan {
    pub fn new(args: &SimArgs) -> Self {
        // The parser takes no other names.
        let app = App::named(&args.app).unwrap_or(&APPS[0]);
        let usual = Faults::default();
        let faults = Faults {
            network_delay: args.network_delay.unwrap_or(usual.network_delay),
            disk_delay: args.disk_delay.unwrap_or(usual.disk_delay),
            control_delay: args.control_delay.unwrap_or(usual.control_delay),
            ..usual
        };
        let size = Size { ranks: args.ranks, rounds: args.rounds, bytes: args.bytes as usize };
        Self {
            app,
            seed: args.seed.unwrap_or_else(another_seed),
            faults,
            ranks: args.ranks,
            limit_events: args.limit_events,
            checkpoint_every: args.checkpoint_every,
            model: app.model(size),
        }
    }

    /// Ranks, domains and failure unit of a specification's run.
    pub fn setting(&self, args: &SimArgs, specification: &Specification) -> Setting {
        let unit =
            args.failure_unit.map_or_else(|| declared_unit(&specification.protocol), FailureUnit::from);
        let per_domain = if unit == FailureUnit::Node { args.ranks_per_node } else { 1 };
        Setting { domains: Domains::blocks(self.ranks, per_domain), unit, images: true }
    }

    /// What goes wrong: what was said, and what is drawn.
    pub fn schedule(&self, args: &SimArgs, specification: &Specification) -> Schedule {
        let mut mishaps = args.crash.clone();
        if args.random_faults {
            mishaps.extend(self.faults.draw(self.seed, &self.setting(args, specification).domains).0);
        }
        Schedule(mishaps)
    }

    /// What a trace says of how it came about, by name of the option.
    pub fn options(
        &self,
        args: &SimArgs,
        specification: &Specification,
        unit: FailureUnit,
        schedule: &Schedule,
    ) -> BTreeMap<String, String> {
        let every = match specification.protocol.checkpoint {
            Some(_) => self.checkpoint_every.to_string(),
            None => String::new(),
        };
        let options = [
            ("app", self.app.name.to_owned()),
            ("rounds", args.rounds.to_string()),
            ("bytes", args.bytes.to_string()),
            ("failure-unit", unit.to_string()),
            ("ranks-per-node", args.ranks_per_node.to_string()),
            ("network-delay", self.faults.network_delay.to_string()),
            ("disk-delay", self.faults.disk_delay.to_string()),
            ("control-delay", self.faults.control_delay.to_string()),
            ("checkpoint-every", every),
            ("crash", schedule.to_string()),
        ];
        options
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }

    pub fn job<'a>(
        &'a self,
        specification: &'a Specification,
        setting: Setting,
        schedule: Schedule,
    ) -> Job<'a> {
        let mut job = Job::new(&specification.protocol, setting, &*self.model, self.seed).with(schedule);
        job.faults = self.faults.clone();
        job.observed = self.ranks <= MAX_OBSERVED;
        job.traced = false;
        job.limit_events = self.limit_events;
        job.checkpoint_every = Some(self.checkpoint_every);
        job
    }

    /// What is wrong with an outcome, if anything: by the oracles, and where the application has one result, by that.
    pub fn judge(
        &self,
        specification: &Specification,
        outcome: &Outcome,
        registry: &Registry,
    ) -> Option<String> {
        if let Some(wrong) = judge(outcome) {
            return Some(wrong);
        }
        if self.app.same == Result::Nothing || outcome.deaths.iter().all(|&deaths| deaths == 0) {
            return None;
        }
        let setting =
            Setting { domains: Domains::blocks(self.ranks, 1), unit: FailureUnit::Process, images: true };
        let undisturbed =
            egida_sim::run(&self.job(specification, setting, Schedule::default()), registry).ok()?;
        let same = undisturbed.released == outcome.released
            && (self.app.same == Result::Output || undisturbed.states == outcome.states);
        (!same).then(|| "the result is not that of a run in which nothing goes wrong".to_owned())
    }
}

fn another_seed() -> u64 {
    // Any number will do, as long as it is printed.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64 % 1_000_000_007)
}
