//! The page `docs/write-your-own-module.md` shows this crate's code: every block of it stands here, letter for letter.

use std::path::Path;

const SOURCES: [(&str, &str); 5] = [
    ("src/lib.rs", include_str!("../src/lib.rs")),
    ("src/placement.rs", include_str!("../src/placement.rs")),
    ("src/backend.rs", include_str!("../src/backend.rs")),
    ("tests/survival.rs", include_str!("survival.rs")),
    ("own.egd", include_str!("../own.egd")),
];

/// The language and the text of each fenced block.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<_> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            blocks.push((language.to_owned(), text.join("\n")));
        }
    }
    blocks
}

#[test]
fn every_block_of_the_page_stands_in_the_example() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/write-your-own-module.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let mut shown = 0;
    for (language, block) in blocks(&page) {
        if language == "console" {
            continue;
        }
        assert!(
            SOURCES.iter().any(|(_, source)| source.contains(&block)),
            "this block of the page stands nowhere in the example:\n{block}"
        );
        shown += 1;
    }
    assert!(shown >= 6, "the page shows {shown} blocks");
}
