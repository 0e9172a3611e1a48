//! How the matrices of a model are to be read.

use super::Storage;

/// What becomes of the matrices of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// What they are kept in.
    pub storage: Storage,
    /// What is read of them.
    pub contents: Contents,
}

/// What is read of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Contents {
    /// Its values.
    #[default]
    Values,
    /// Its size and form, which the header of its file says: the matrix is a stand-in that takes no memory, says how much the matrix
    /// itself would take, and has no values but zeros. What is no matrix is read as always.
    Sizes,
}

impl From<Storage> for Kept {
    fn from(storage: Storage) -> Self {
        Self {
            storage,
            contents: Contents::Values,
        }
    }
}
