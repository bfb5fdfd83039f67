//! Large and hostile texts are answered in time that grows with their length.

use std::time::{Duration, Instant};

use egida_spec::parser::MAX_BYTES;
use egida_spec::{check, declared_unit, diagnostic, format, load};

/// Generous, for slow machines and builds without optimization; a quadratic answer would take many minutes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Long enough to tell linear from quadratic, short enough to try many.
const LENGTH: usize = MAX_BYTES / 8;

#[test]
fn long_repetitions() {
    let pieces = [
        "/*",
        "/*\n",
        "{comment:\n",
        "// x\n",
        "a ",
        "a\n",
        "a checkpoint ",
        "a output commit ",
        "send:",
        "send:\n",
        "send with (a = b):\n",
        "with ( ",
        "with (a = 1) ",
        "((((",
        "{{{{",
        "\"",
        "\"\n",
        "Log a on b ",
        "Log a, ",
        "Log\n",
        "Piggyback a\n",
        "On rollback:\n",
        "protocol a\n",
        "a: {b}\n",
        "receive:\nPiggyback a,\n",
        "%",
        "%\n",
        "é",
        "a /* b */ ",
        "a\n\n",
        "\r",
        "a b c d checkpoint e f g on\n",
        "Independent checkpoint on NFS disk\n",
    ];
    for piece in pieces {
        let text = piece.repeat(LENGTH / piece.len());
        for prefix in ["", "receive:\n", "Log a b on c\n"] {
            let text = format!("{prefix}{text}");
            let start = Instant::now();
            let loaded = load("long.egd", &text);
            if let Some(protocol) = &loaded.protocol {
                let _ = check(protocol, declared_unit(protocol));
            }
            let _ = format(&text);
            let _ = diagnostic::render("long.egd", &text, &loaded.diagnostics, Default::default());
            assert!(start.elapsed() < PATIENCE, "{prefix:?} {piece:?} took {:?}", start.elapsed());
        }
    }
}

#[test]
fn too_large_is_refused_unread() {
    let loaded = load("large.egd", &"x".repeat(MAX_BYTES + 1));
    assert_eq!(loaded.diagnostics.len(), 1);
    assert_eq!(loaded.diagnostics[0].code, egida_spec::Code::Limit);
}
