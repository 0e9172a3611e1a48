//! Names of parameters and layers: how a file lays a parameter out, how a folder calls the layers, and numbers that follow from names.

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The number of a name, the same in every run and on every machine: the 64-bit FNV-1a hash of its UTF-8 bytes.
///
/// Optimizer states are keyed by it and seeds derive from it, so the function is part of the formats of checkpoints and bases.
#[must_use]
pub fn name_number(name: &str) -> u64 {
    name.bytes().fold(FNV_OFFSET, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
    })
}

/// Whether the in-memory tensor is laid out as the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// The file and memory agree.
    AsIs,
    /// The file holds `[out, in]`, memory holds `[in, out]`.
    Transposed,
}

/// How an adapter folder calls the layers of a model; by default as the model's own files do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// By the layers' other names, as a newer version of the model's library has them.
    pub other: bool,
    /// Without the name of the model's body, as adapters of a model without a head have it.
    pub bare: bool,
}

impl Naming {
    /// Every naming but the model's own.
    pub const FOREIGN: [Self; 3] = [
        Self {
            other: true,
            bare: false,
        },
        Self {
            other: false,
            bare: true,
        },
        Self {
            other: true,
            bare: true,
        },
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_published_fnv_1a_values() {
        assert_eq!(name_number(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(name_number("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(name_number("foobar"), 0x8594_4171_f739_67e8);
    }
}
