//! Scratch.
fn main() {
    use peft_train::synthetic::*;
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let data = SentimentData::generate(7, 1500, 400, 400);
    for (name, rows) in [("train", &data.train), ("valid", &data.valid), ("test", &data.test)] {
        std::fs::write(dir.join(format!("{name}.jsonl")), to_jsonl(rows)).unwrap();
    }
    let mut g = Grammar::new(3);
    for _ in 0..25 { println!("{:?}", g.passage()); }
}
