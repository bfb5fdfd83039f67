//! Any text, through everything that takes one.

#![no_main]

use egida_spec::diagnostic::{RenderStyle, render};
use egida_spec::protocol::FailureUnit;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let loaded = egida_spec::load("fuzz.egd", text);
    let mut said = loaded.diagnostics;
    assert_eq!(loaded.protocol.is_none(), said.iter().any(|found| found.is_error()));
    if let Some(protocol) = &loaded.protocol {
        for unit in FailureUnit::ALL {
            let judgement = egida_spec::check(protocol, unit);
            said.extend(judgement.diagnostics);
            let printed = egida_spec::render(&judgement.protocol);
            assert!(egida_spec::load("printed.egd", &printed).protocol.is_some(), "{printed}");
        }
    }
    let _ = render("fuzz.egd", text, &said, RenderStyle::default());
    if let Ok(formatted) = egida_spec::format(text) {
        assert_eq!(egida_spec::format(&formatted).as_deref(), Ok(formatted.as_str()));
    }
});
