//! Every committed input goes through its target.

use std::path::Path;

#[test]
fn every_seed_is_read_or_refused() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (name, run) in peft_fuzz::TARGETS {
        let folder = seeds.join(name);
        let files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(!files.is_empty(), "no seeds of `{name}`");
        for file in files {
            run(&std::fs::read(file).unwrap());
        }
    }
}
