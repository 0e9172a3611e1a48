//! Tables of embeddings of a folder.

use peft_core::{AdaptedEmbedding, Layout};

use super::WeightReader;
use super::matrix::{Matrix, Role};
use crate::hf::archive::TensorArchive;
use crate::hf::spelling::spellings;

impl WeightReader {
    /// An embedding whose table a file may hold under the path of the output layer it is tied to.
    pub fn embedding_or(
        &mut self,
        path: &str,
        tied_to: &str,
        n: usize,
        d: usize,
    ) -> AdaptedEmbedding {
        let (name, other) = (format!("{path}.weight"), format!("{tied_to}.weight"));
        let holds = |archive: &TensorArchive, name: &str| {
            spellings(name, self.prefix)
                .iter()
                .any(|spelling| archive.entry(spelling).is_some())
        };
        let elsewhere = self
            .archive
            .as_ref()
            .is_some_and(|archive| !holds(archive, &name) && holds(archive, &other));
        if !elsewhere {
            return self.embedding(path, n, d);
        }
        self.table(path, &other, [n, d])
    }

    /// An embedding with a table of shape `[n, d]`.
    pub fn embedding(&mut self, path: &str, n: usize, d: usize) -> AdaptedEmbedding {
        self.table(path, &format!("{path}.weight"), [n, d])
    }

    /// The table at `path` of the values that the file has under `name`.
    fn table(&mut self, path: &str, name: &str, shape: [usize; 2]) -> AdaptedEmbedding {
        let matrix = self.matrix(name, shape, Role::Table, None);
        let (matrix, shape) = matrix.map_or((Matrix::ZERO, [1, 1]), |matrix| (matrix, shape));
        let own = format!("{path}.weight");
        AdaptedEmbedding::new(path, self.weight(&own, matrix, shape, Layout::AsIs))
    }
}
