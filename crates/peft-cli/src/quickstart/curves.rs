//! The curves of several runs in one picture.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Result;
use peft_run::Watch;
use peft_run::settings::RunConfig;
use peft_train::Callback;
use peft_train::task::Scores;

use crate::picture::{ChartOptions, Series, draw_curves};

/// Keeps the accuracy of every evaluation of a run.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    points: Rc<RefCell<Vec<(f64, f64)>>>,
}

impl Recorder {
    /// Step and accuracy in percent, in the order of the evaluations.
    pub fn points(&self) -> Vec<(f64, f64)> {
        self.points.borrow().clone()
    }
}

impl Callback for Recorder {
    fn evaluated(&mut self, step: usize, scores: &Scores) {
        if let Some(accuracy) = scores.metrics.get("accuracy") {
            self.points
                .borrow_mut()
                .push((step as f64, 100.0 * accuracy));
        }
    }
}

impl Watch for Recorder {
    fn callbacks(&mut self, _config: &RunConfig) -> Vec<Box<dyn Callback + '_>> {
        vec![Box::new(self.clone())]
    }
}

/// Draws the accuracy on the validation data over the steps as SVG and PNG; returns the two paths.
///
/// # Errors
/// When no run was evaluated, or a file cannot be written.
pub fn draw(curves: &[(String, Vec<(f64, f64)>)], stem: &Path) -> Result<[PathBuf; 2]> {
    let series: Vec<Series> = curves
        .iter()
        .map(|(name, points)| Series {
            name: name.clone(),
            points: points.clone(),
        })
        .collect();
    let options = ChartOptions {
        title: "Accuracy on the validation data".into(),
        y_label: "accuracy in %".into(),
        y_range: Some((40.0, 101.0)),
        ..ChartOptions::default()
    };
    let paths = [stem.with_extension("svg"), stem.with_extension("png")];
    draw_curves(&series, &options, &paths[0], &paths[1])?;
    Ok(paths)
}
