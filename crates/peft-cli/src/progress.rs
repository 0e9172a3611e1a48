//! Progress of a run: a bar on a terminal, plain lines otherwise.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use peft_train::task::Scores;
use peft_train::{Callback, Record, Step};

/// Shows steps, loss, learning rate, tokens per second, time left and memory on stderr.
pub struct Progress {
    bar: Option<ProgressBar>,
    since: Instant,
    first_tokens: Option<usize>,
}

impl Progress {
    /// Of a run that has not begun.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = "{bar:30} {pos}/{len} steps, {elapsed} gone, {eta} left, {msg}";
            bar.set_style(
                ProgressStyle::with_template(style)
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self {
            bar,
            since: Instant::now(),
            first_tokens: None,
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }
}

impl Callback for Progress {
    fn step_begin(&mut self, step: &mut Step) {
        if self.first_tokens.is_none() {
            self.first_tokens = Some(step.tokens);
            self.since = Instant::now();
            if let Some(bar) = &self.bar {
                bar.set_length(step.total as u64);
                bar.set_position(step.index as u64);
                bar.reset_eta();
            }
        }
    }

    fn step_end(&mut self, step: &Step) {
        if let Some(bar) = &self.bar {
            bar.set_position(step.index as u64 + 1);
        }
    }

    fn recorded(&mut self, record: &Record) {
        let step = &record.step;
        let seen = step.tokens - self.first_tokens.unwrap_or(0);
        let speed = seen as f64 / self.since.elapsed().as_secs_f64().max(1e-9);
        let memory =
            peft_run::memory::peak_mib().map_or(String::new(), |mib| format!(", {mib} MiB"));
        let state = format!(
            "loss {:.4}, lr {:.2e}, {speed:.0} tokens/s{memory}",
            record.loss, step.lr
        );
        let taken = step.index + 1;
        match &self.bar {
            Some(bar) => {
                bar.set_message(state);
                if taken == step.total {
                    bar.finish();
                }
            }
            None => eprintln!("step {taken}/{}: {state}", step.total),
        }
    }

    fn evaluated(&mut self, step: usize, scores: &Scores) {
        let metrics: Vec<String> = scores
            .metrics
            .iter()
            .map(|(name, value)| format!("{name} {value:.4}"))
            .collect();
        self.say(&format!(
            "step {step}: valid loss {:.4}, {}",
            scores.loss,
            metrics.join(", ")
        ));
        for sample in &scores.samples {
            self.say(&format!("  {}|{}", sample.prompt, sample.answer));
        }
    }
}
