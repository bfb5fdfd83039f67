use std::path::Path;
#[test]
fn specs_load() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs");
    for dir in [root.clone(), root.join("paper")] {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "egd") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            let loaded = egida_spec::load(name, &text);
            println!(
                "{}",
                egida_spec::diagnostic::render(name, &text, &loaded.diagnostics, Default::default())
            );
            println!(
                "{:#?}",
                loaded.protocol.as_ref().map(|p| (&p.recovery, &p.output_commit, &p.checkpoint))
            );
            assert!(loaded.protocol.is_some());
            let p = loaded.protocol.unwrap();
            for unit in egida_spec::protocol::FailureUnit::ALL {
                println!("{name} {unit} {:?}", egida_spec::class::classify(&p, unit, &Default::default()));
            }
        }
    }
    let bad = "protocol x with (g = 2, f = 3 weeks)\nreciev:\n determinat: {source, sesnn}\n Log determinant synchronously NFS disk\n Piggyback determinants,\nsend Piggyback x\nIndependent output commit write\n{comment: unclosed";
    let loaded = egida_spec::load("x", bad);
    println!("{}", egida_spec::diagnostic::render("x", bad, &loaded.diagnostics, Default::default()));
}
