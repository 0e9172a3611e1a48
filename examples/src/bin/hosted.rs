//! `cargo run --bin hosted`

#![allow(clippy::print_stdout, reason = "a program prints what it found")]

fn main() -> anyhow::Result<()> {
    println!("{}", peft_examples::hosted::run(400, 300)?);
    Ok(())
}
