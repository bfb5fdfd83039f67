//! The pages on the protocols of this repository: idea, invariant, cost, tolerance, recovery, source.

macro_rules! page {
    ($name:literal) => {
        ($name, include_str!(concat!("../../docs/protocols/", $name, ".md")))
    };
}

/// Names and pages, in the order of a tour: what each family adds to the one before.
pub const PAGES: &[(&str, &str)] = &[
    page!("none"),
    page!("pessimistic-receiver"),
    page!("pessimistic-sender"),
    page!("pessimistic-sender-receive"),
    page!("pessimistic-replicated"),
    page!("pessimistic-sbml"),
    page!("replicated-hybrid"),
    page!("causal"),
    page!("causal-receive"),
    page!("causal-dependency-matrix"),
    page!("causal-stability-vector"),
    page!("causal-stability-matrix"),
    page!("causal-stable"),
    page!("manetho"),
    page!("hybrid"),
    page!("optimistic"),
    page!("optimistic-exchange"),
    page!("optimistic-checkpoint"),
    page!("pessimistic-sender-checkpoint"),
    page!("causal-checkpoint"),
    page!("checkpoint-independent"),
    page!("checkpoint-chandy-lamport"),
    page!("checkpoint-diskless"),
    page!("checkpoint-index"),
    page!("checkpoint-fail-safe-pvm"),
    page!("checkpoint-koo-toueg"),
    page!("checkpoint-bcs"),
    page!("checkpoint-lazy-bcs"),
    page!("checkpoint-fdas"),
    page!("checkpoint-hmnr"),
];

/// The page of a protocol: by its name, or by its file's.
#[must_use]
pub fn page(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix(".egd").unwrap_or(name);
    let name = name.rsplit('/').next().unwrap_or(name);
    PAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, page)| *page)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn names_in(directory: &str, extension: &str) -> BTreeSet<String> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(directory);
        std::fs::read_dir(directory)
            .expect("the directory is there")
            .map(|entry| entry.expect("it can be listed").path())
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect()
    }

    #[test]
    fn every_specification_has_a_page_and_every_page_a_specification() {
        let pages: BTreeSet<String> = PAGES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names_in("specs", "egd"), pages);
        assert_eq!(names_in("docs/protocols", "md"), pages);
    }

    #[test]
    fn every_page_says_what_it_must() {
        for (name, page) in PAGES {
            assert!(page.starts_with(&format!("# {name}: ")), "{name}");
            for heading in ["Idea", "Invariant", "Cost", "Tolerates", "Recovery", "Source"] {
                assert!(page.contains(&format!("\n**{heading}.** ")), "{name} does not say: {heading}");
            }
        }
    }

    #[test]
    fn a_page_is_found_by_name_and_by_file() {
        assert!(page("causal").is_some());
        assert_eq!(page("specs/Causal.egd"), page("causal"));
        assert_eq!(page("casual"), None);
    }
}
