//! The verdict on one adapter folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use peft_core::file::{
    AdapterFolder, FileError, TENSOR_FILE, check_finite, read_config, read_folder,
};
use peft_core::target::{Target, is_saved_module};
use peft_core::{AdapterSpec, PeftError, Site, causes, folder};
use serde::Serialize;

use super::{Against, Model};
use crate::folder_problems::file_problems;
use crate::registry::METHODS;
use crate::report::{Report, SiteReport, TensorReport};

/// Everything there is to say about a folder.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// The folder.
    pub folder: PathBuf,
    /// No problems: the adapter can be used as it is.
    pub valid: bool,
    /// Why it cannot be used, or not with this model.
    pub problems: Vec<String>,
    /// What is probably not meant so.
    pub warnings: Vec<String>,
    /// What is unusual and tolerated.
    pub notes: Vec<String>,
    /// The facts, as `peft inspect` has them; null where the files could not be read.
    pub facts: Option<Report>,
}

impl Verdict {
    /// Checks a folder, against a model where there is one.
    pub fn of(dir: &Path, model: Option<&Against>) -> Self {
        Self::of_read(dir, &read_folder(dir), model)
    }

    /// As [`Self::of`], of a folder that was read already.
    pub(crate) fn of_read(
        dir: &Path,
        read: &Result<AdapterFolder, FileError>,
        model: Option<&Against>,
    ) -> Self {
        let mut verdict = Self {
            folder: dir.to_owned(),
            valid: false,
            problems: vec![],
            warnings: vec![],
            notes: vec![],
            facts: None,
        };
        match read {
            Err(error) => {
                verdict.problems = file_problems(dir, error);
                verdict.judge_config(dir);
            }
            Ok(folder) => match Report::new(dir, folder) {
                Err(error) => verdict.problems.push(causes(&error)),
                Ok(report) => verdict.judge(folder, report, model),
            },
        }
        verdict.valid = verdict.problems.is_empty();
        verdict
    }

    fn judge(&mut self, folder: &AdapterFolder, report: Report, model: Option<&Against>) {
        let spec = self.spec(folder, &report);
        self.problems.extend(report.problems.iter().cloned());
        if let Err(FileError::NonFinite { tensors }) = check_finite(&folder.tensors) {
            self.problems
                .extend(tensors.iter().map(ToString::to_string));
        }
        if report.sites.is_empty() && report.method.is_some() {
            self.problems
                .push("the file has no tensors of an adapted layer".into());
        }
        self.warn(&report);
        self.place_others(folder, &report);
        if let Some(Against(model)) = model {
            let findings = match model {
                Model::Folder(base) => base.judge(&self.folder, folder),
                Model::Config(sites) => sites.compare(&report, spec.as_ref()),
            };
            let known = |problem: &String| !self.problems.contains(problem);
            let new: Vec<String> = findings.problems.into_iter().filter(known).collect();
            self.problems.extend(new);
            self.warnings.extend(findings.warnings);
            self.notes.extend(findings.notes);
        }
        self.notes.extend(report.notes.iter().cloned());
        let unknown = report.unknown_fields.iter();
        self.notes
            .extend(unknown.map(|field| format!("unknown field `{field}` ignored")));
        self.facts = Some(report);
    }

    /// What is wrong with the configuration of a folder whose tensors cannot be read.
    fn judge_config(&mut self, dir: &Path) {
        let Ok(mut config) = read_config(dir) else {
            return;
        };
        // Without tensors it is open what targets that are not named are.
        config.target.get_or_insert(Target::AllLinear);
        let folder = AdapterFolder {
            config,
            tensors: BTreeMap::new(),
            tensor_file: dir.join(TENSOR_FILE),
        };
        if let Ok(report) = Report::new(dir, &folder) {
            self.spec(&folder, &report);
        }
    }

    /// What the configuration means to a loader; what it cannot mean is a problem.
    fn spec(&mut self, adapter: &AdapterFolder, report: &Report) -> Option<AdapterSpec> {
        self.problems.extend(report.unsupported.iter().cloned());
        self.problems.extend(unselected(adapter, report));
        match folder::spec_of(METHODS, &adapter.config) {
            Ok(spec) => Some(spec),
            Err(PeftError::Unsupported { problems }) => {
                let new = problems
                    .into_iter()
                    .filter(|problem| !report.unsupported.contains(problem));
                self.problems.extend(new);
                None
            }
            Err(_unknown_method) if report.method.is_none() => None,
            Err(error) => {
                self.problems.push(error.to_string());
                None
            }
        }
    }

    fn warn(&mut self, report: &Report) {
        let untrained = report
            .sites
            .iter()
            .filter(|site| site.does_nothing())
            .count();
        let all = report.sites.len();
        if untrained > 0 {
            let what = if untrained == all {
                "the adapter changes nothing"
            } else {
                "no update there"
            };
            self.warnings.push(format!(
                "A or B is all zero at {untrained} of {all} layers: {what}"
            ));
        }
        let scales = report.sites.iter().flat_map(|site| &site.pairs);
        if scales.clone().count() > 0 && scales.clone().all(|pair| pair.scale == 0.0) {
            self.warnings
                .push("the scale is zero: the adapter changes nothing".into());
        }
    }

    /// Tensors outside the adapted layers: heads, trained biases, whole copies of base parameters; anything else
    /// will not load.
    fn place_others(&mut self, adapter: &AdapterFolder, report: &Report) {
        if report.method.is_none() {
            return;
        }
        for TensorReport { name, shape, .. } in &report.other_tensors {
            let (module, tensor) = name.rsplit_once('.').unwrap_or(("", name));
            let above =
                ancestors(module).any(|path| is_saved_module(path, &report.modules_to_save));
            let bias = tensor == "bias" && adapter.config.bias != "none";
            if above || bias {
                continue;
            }
            if tensor == "weight" {
                self.notes.push(format!(
                    "`{name}` {shape:?} is in no module of modules_to_save: a whole copy of a base parameter"
                ));
            } else {
                self.problems.push(format!(
                    "`{name}` {shape:?} belongs to no adapted layer and to no module of modules_to_save"
                ));
            }
        }
    }
}

/// `a.b.c`, then `a.b`, then `a`.
fn ancestors(module: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(module), |path| {
        path.rsplit_once('.').map(|(above, _)| above)
    })
}

/// Layers of the file that the configuration's own targets do not select, or what is wrong with the targets.
fn unselected(adapter: &AdapterFolder, report: &Report) -> Vec<String> {
    let Some(rules) = adapter.config.target_rules() else {
        return vec![];
    };
    let site =
        |site: &SiteReport| Site::new(&site.path, site.d_in.unwrap_or(0), site.d_out.unwrap_or(0));
    let sites: Vec<Site> = report.sites.iter().map(site).collect();
    if sites.is_empty() {
        return rules
            .check()
            .err()
            .iter()
            .map(ToString::to_string)
            .collect();
    }
    match rules.select(&sites, &[], &adapter.config.modules_to_save) {
        Err(error) => vec![causes(&error)],
        Ok(selection) => (0..sites.len())
            .filter(|index| !selection.matched.contains(index))
            .map(|index| {
                let path = &sites[index].path;
                format!(
                    "`{path}`: the file has tensors for it, the configuration does not select it"
                )
            })
            .collect(),
    }
}
