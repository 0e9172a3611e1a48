//! What a file is that is no GGUF file: by its first bytes, with what to do about it.

use std::fmt;

/// Bytes that are enough to tell.
pub(crate) const START: usize = 512;

/// A file that somebody may take for a GGUF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// No bytes.
    Empty,
    /// Zeros, as a download leaves them that reserves its place first.
    Zeros,
    /// The pointer that Git has in place of a large file.
    LfsPointer,
    /// A web page.
    Html,
    /// JSON: a message of a server, or a configuration.
    Json,
    /// Safetensors.
    Safetensors,
    /// A zip archive, such as PyTorch's checkpoints.
    Zip,
    /// A bare pickle, as older versions of PyTorch wrote them.
    Pickle,
    /// What came before GGUF.
    Ggml,
    /// A file packed by gzip.
    Gzip,
    /// A file packed by zstd.
    Zstd,
    /// HDF5, as Keras writes it.
    Hdf5,
    /// Something else.
    Unknown([u8; 4]),
}

impl Foreign {
    /// What a file with this size and these first bytes is, given that it is no GGUF file.
    pub(crate) fn of(start: &[u8], size: u64) -> Self {
        let text = start.trim_ascii_start();
        let begins = |with: &[u8]| start.starts_with(with);
        let page = |with: &[u8]| {
            text.get(..with.len())
                .is_some_and(|text| text.eq_ignore_ascii_case(with))
        };
        if size == 0 {
            return Self::Empty;
        }
        if start.iter().all(|byte| *byte == 0) {
            return Self::Zeros;
        }
        if begins(b"version https://git-lfs") {
            return Self::LfsPointer;
        }
        if let Some((length, rest)) = start.split_first_chunk()
            && rest.first() == Some(&b'{')
            && u64::from_le_bytes(*length) < size
        {
            return Self::Safetensors;
        }
        let known: [(&[u8], Self); 10] = [
            (b"PK\x03\x04", Self::Zip),
            (b"\x80\x02", Self::Pickle),
            (b"\x80\x04", Self::Pickle),
            (b"lmgg", Self::Ggml),
            (b"fmgg", Self::Ggml),
            (b"tjgg", Self::Ggml),
            (b"algg", Self::Ggml),
            (b"\x1f\x8b", Self::Gzip),
            (b"\x28\xb5\x2f\xfd", Self::Zstd),
            (b"\x89HDF", Self::Hdf5),
        ];
        if let Some((_, found)) = known.into_iter().find(|(with, _)| begins(with)) {
            return found;
        }
        if [&b"<!doctype"[..], b"<html", b"<?xml"]
            .into_iter()
            .any(page)
        {
            return Self::Html;
        }
        match text.first() {
            Some(b'{' | b'[') => Self::Json,
            _ => Self::Unknown(std::array::from_fn(|at| {
                start.get(at).copied().unwrap_or(0)
            })),
        }
    }
}

/// What it is, and what to do.
impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty: the download or the writer was interrupted; download or write it again",
            Self::Zeros => "it begins with zeros: the download was interrupted; download it again",
            Self::LfsPointer => {
                "it is a Git LFS pointer, not the model: run `git lfs pull` in the repository, or download the file itself"
            }
            Self::Html => "it is a web page: download the file by its `resolve` address, not the page that shows it",
            Self::Json => "it is JSON, perhaps a message of the server: look into it, and download the model again",
            Self::Safetensors => {
                "it is a safetensors file: convert its folder with llama.cpp's convert_hf_to_gguf.py, or read it as safetensors"
            }
            Self::Zip => "it is a zip archive or a PyTorch checkpoint: unpack it, or convert it with llama.cpp's convert_hf_to_gguf.py",
            Self::Pickle => "it is a pickled PyTorch checkpoint: convert it with llama.cpp's convert_hf_to_gguf.py",
            Self::Ggml => "it is a GGML file of before August 2023: download the model as GGUF, or convert it with an old llama.cpp",
            Self::Gzip => "it is packed by gzip: unpack it with `gunzip`",
            Self::Zstd => "it is packed by zstd: unpack it with `unzstd`",
            Self::Hdf5 => "it is an HDF5 file, which no program makes GGUF of directly",
            Self::Unknown(start) => {
                return write!(
                    f,
                    "it begins with {:?}, a GGUF file with \"GGUF\"",
                    String::from_utf8_lossy(start)
                );
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_beginning() {
        let safetensors = [&40_u64.to_le_bytes()[..], b"{\"a\": {}}"].concat();
        let cases: [(&[u8], Foreign); 11] = [
            (b"", Foreign::Empty),
            (&[0; 64], Foreign::Zeros),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                Foreign::LfsPointer,
            ),
            (b"\n <!DOCTYPE html><html>", Foreign::Html),
            (b" {\"error\": \"Not Found\"}", Foreign::Json),
            (&safetensors, Foreign::Safetensors),
            (b"PK\x03\x04....", Foreign::Zip),
            (b"\x80\x02}q\x00", Foreign::Pickle),
            (b"tjgg\x03\x00\x00\x00", Foreign::Ggml),
            (b"\x1f\x8b\x08", Foreign::Gzip),
            (b"GG", Foreign::Unknown(*b"GG\0\0")),
        ];
        for (start, expected) in cases {
            let found = Foreign::of(start, start.len() as u64 * 100);
            assert_eq!(found, expected, "{start:?}");
            assert!(found.to_string().starts_with("it "), "{found}");
        }
    }
}
