//! `cargo run --bin own-layers`

#![allow(clippy::print_stdout, reason = "a program prints what it found")]

fn main() -> anyhow::Result<()> {
    println!("{}", peft_examples::own_layers::run(400, 300)?);
    Ok(())
}
