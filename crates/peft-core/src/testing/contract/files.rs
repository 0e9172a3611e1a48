//! Adapter folders: exact round trips, and values that are refused.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;

use super::{Contract, ROWS, host, poisoned};
use crate::error::PeftError;
use crate::file::{FileError, TENSOR_FILE};
use crate::folder;
use crate::pass::Pass;
use crate::testing::tiny::{self, Tiny};

impl Contract {
    pub(super) fn saving_and_loading_is_exact(&self, device: &Device) {
        let (model, names) = self.trained(device, 3);
        let spec = self.spec(&["up_proj", "down_proj"]);
        let dir = tempfile::tempdir().expect("a temporary directory");
        folder::save(&model, &names, "default", &spec, dir.path()).expect("saves");
        let (fresh, fresh_names) = Tiny::new(device);
        let loaded = folder::load(fresh, &fresh_names, "again", self.entries, dir.path())
            .expect("loads what was saved");
        let x = tiny::inputs(ROWS, device);
        assert_eq!(
            host(model.valid().forward(x.clone(), &mut Pass::eval())),
            host(loaded.model.forward(x, &mut Pass::eval())),
            "outputs after loading"
        );
        let other = tempfile::tempdir().expect("a temporary directory");
        folder::save(
            &loaded.model,
            &fresh_names,
            "again",
            &loaded.spec,
            other.path(),
        )
        .expect("saves again");
        let read = |dir: &Path| std::fs::read(dir.join(TENSOR_FILE));
        assert_eq!(
            read(dir.path()).expect("a file"),
            read(other.path()).expect("a file"),
            "the same bytes after a round trip"
        );
    }

    pub(super) fn its_options_make_it_again(&self) {
        let entry = self.method.entry();
        let again = (entry.from_options)(&self.method.options()).expect("accepts its own options");
        assert_eq!(again.config_fields(), self.method.config_fields());
        assert_eq!(again.options(), self.method.options());
    }

    pub(super) fn a_nan_in_a_folder_is_refused(&self, device: &Device) {
        let (model, names) = self.trained(device, 2);
        let (model, site) = poisoned(model.valid());
        let spec = self.spec(&["up_proj", "down_proj"]);
        let dir = tempfile::tempdir().expect("a temporary directory");
        folder::save(&model, &names, "default", &spec, dir.path()).expect("saves");
        let (fresh, names) = Tiny::new(device);
        let error = folder::load(fresh, &names, "again", self.entries, dir.path())
            .expect_err("a NaN must not reach a model");
        assert!(
            matches!(error, PeftError::File(FileError::NonFinite { .. }))
                && error.to_string().contains(&site),
            "the error names `{site}`: {error}"
        );
    }
}
