//! Tensors in the safetensors format: from bytes that nobody vouches for, and to bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::{SafeTensorError, SafeTensors, View};
use serde::Deserialize;
use thiserror::Error;

use super::FileError;
use crate::attention::{Array, Dtype};

/// Reads every tensor of a file.
///
/// # Errors
/// [`FileError`] when the file cannot be read, or [`decode`] refuses its contents.
pub fn read(path: &Path) -> Result<BTreeMap<String, Array>, FileError> {
    let action = "read";
    let refused = |source| FileError::Io { action, path: path.into(), source };
    if !fs::metadata(path).map_err(refused)?.is_file() {
        return Err(FileError::NotAFile { action, path: path.into() });
    }
    let bytes = fs::read(path).map_err(refused)?;
    decode(&bytes).map_err(|source| FileError::Format { path: path.into(), source })
}

/// The tensors of a safetensors file's bytes.
///
/// # Errors
/// [`FormatError`] for bytes that are no such file, and for element types other than bf16, f16, f32 and i8.
pub fn decode(bytes: &[u8]) -> Result<BTreeMap<String, Array>, FormatError> {
    check_extents(bytes)?;
    let file = SafeTensors::deserialize(bytes)?;
    let mut arrays = BTreeMap::new();
    for (name, view) in file.iter() {
        let dtype = match view.dtype() {
            safetensors::Dtype::BF16 => Dtype::Bf16,
            safetensors::Dtype::F16 => Dtype::F16,
            safetensors::Dtype::F32 => Dtype::F32,
            safetensors::Dtype::I8 => Dtype::I8,
            found => return Err(FormatError::Dtype { name: name.into(), found: found.to_string() }),
        };
        let array = Array::from_le_bytes(dtype, view.shape().to_vec(), view.data());
        arrays.insert(name.to_owned(), array.map_err(|_| SafeTensorError::TensorInvalidInfo)?);
    }
    Ok(arrays)
}

/// The bytes of a safetensors file of named tensors.
///
/// # Errors
/// [`FormatError`] when the format cannot express them.
pub fn encode<'a>(arrays: impl IntoIterator<Item = (&'a str, &'a Array)>) -> Result<Vec<u8>, FormatError> {
    Ok(safetensors::serialize(arrays.into_iter().map(|(name, array)| (name, Stored(array))), None)?)
}

/// An array as the format's writer wants to see it.
struct Stored<'a>(&'a Array);

impl View for Stored<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        match self.0.dtype() {
            Dtype::Bf16 => safetensors::Dtype::BF16,
            Dtype::F16 => safetensors::Dtype::F16,
            Dtype::F32 => safetensors::Dtype::F32,
            Dtype::I8 => safetensors::Dtype::I8,
        }
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.0.to_le_bytes().into()
    }

    fn data_len(&self) -> usize {
        self.0.shape().iter().product::<usize>() * self.dtype().bitsize() / 8
    }
}

/// Checks that the header and every tensor lie inside the file. The format's own reader adds these numbers up before it
/// compares them with the file's size, and the sum of a hostile header overflows.
fn check_extents(bytes: &[u8]) -> Result<(), FormatError> {
    let file = bytes.len();
    let Some((size, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(FormatError::Truncated { found: file as u64, needed: 8 });
    };
    let header = u64::from_le_bytes(*size);
    let needed = header.saturating_add(8);
    let length = usize::try_from(header).ok().filter(|&length| length <= rest.len());
    let length = length.ok_or(FormatError::Truncated { found: file as u64, needed })?;
    let text = std::str::from_utf8(&rest[..length]).map_err(SafeTensorError::InvalidHeader)?;
    let entries: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(text).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
    for (name, entry) in entries.into_iter().filter(|(name, _)| name != "__metadata__") {
        let extent = Extent::deserialize(entry).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
        let (start, end) = extent.data_offsets;
        let held = (rest.len() - length) as u64;
        if start > end || end > held {
            return Err(FormatError::Extent { name, start, end, held });
        }
    }
    Ok(())
}

/// The part of a tensor's header entry that says where its bytes are.
#[derive(Deserialize)]
struct Extent {
    data_offsets: (u64, u64),
}

/// Bytes that are no usable safetensors file.
#[derive(Debug, Error)]
pub enum FormatError {
    /// The file ends before its header does.
    #[error("found {found} bytes, needed at least {needed} for the header")]
    Truncated {
        /// Bytes of the file.
        found: u64,
        /// Bytes up to the end of the header.
        needed: u64,
    },
    /// A tensor that lies outside the file.
    #[error(
        "tensor `{name}` spans bytes {start} to {end}, needed a span within the {held} bytes after the header"
    )]
    Extent {
        /// The tensor.
        name: String,
        /// Its first byte.
        start: u64,
        /// One past its last byte.
        end: u64,
        /// Bytes of all tensors.
        held: u64,
    },
    /// An element type that the operator has no use for.
    #[error("tensor `{name}` has element type {found}, needed BF16, F16, F32 or I8")]
    Dtype {
        /// The tensor.
        name: String,
        /// Its type, in the format's words.
        found: String,
    },
    /// Whatever else the format forbids.
    #[error("{0}")]
    Invalid(#[from] SafeTensorError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, body: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend(vec![0; body]);
        bytes
    }

    fn small() -> Vec<u8> {
        let q = Array::from_f64(Dtype::Bf16, vec![2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let mask = Array::from_f64(Dtype::I8, vec![2], &[1.0, -1.0]).unwrap();
        encode([("q", &q), ("mask", &mask)]).unwrap()
    }

    #[test]
    fn arrays_round_trip() {
        let arrays = decode(&small()).unwrap();
        assert_eq!(arrays.len(), 2);
        assert_eq!(arrays["q"].to_f64(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!((arrays["q"].dtype(), arrays["q"].shape()), (Dtype::Bf16, &[2, 3][..]));
        assert_eq!(arrays["mask"].to_f64(), [1.0, -1.0]);
    }

    #[test]
    fn every_truncation_and_any_excess_is_an_error() {
        let bytes = small();
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn no_flipped_byte_of_the_header_panics() {
        let bytes = small();
        for at in 0..bytes.len() {
            for value in [0, b'"', b'9', b'[', b'}', 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                let _ = decode(&bytes);
            }
        }
    }

    #[test]
    fn hostile_headers_are_errors() {
        let entry = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"q":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        let max = usize::MAX;
        let most = (1u64 << 61) - 1;
        let wrapping: Vec<String> = (0..8u64)
            .map(|i| {
                let (start, end) = (i * most, (i + 1) * most);
                format!(r#""t{i}":{{"dtype":"I8","shape":[{most}],"data_offsets":[{start},{end}]}}"#)
            })
            .collect();
        let hostile = [
            ("no header", file("", 0)),
            ("not json", file("hello", 0)),
            ("a list", file("[]", 0)),
            ("deep nesting", file(&"[".repeat(100_000), 0)),
            ("header longer than the file", (u64::MAX).to_le_bytes().to_vec()),
            ("header length that overflows", [(u64::MAX - 4).to_le_bytes(), [b'{'; 8]].concat()),
            ("unknown type", file(&entry("Q7", "[1]", "[0,1]"), 1)),
            ("unsupported type", file(&entry("F64", "[1]", "[0,8]"), 8)),
            ("negative size", file(&entry("F32", "[-1]", "[0,4]"), 4)),
            ("fractional size", file(&entry("F32", "[1.5]", "[0,4]"), 4)),
            ("shape that overflows", file(&entry("F32", &format!("[{max},{max}]"), "[0,4]"), 4)),
            ("size in bytes that overflows", file(&entry("F32", &format!("[{max}]"), "[0,4]"), 4)),
            ("shape larger than its bytes", file(&entry("F32", "[2]", "[0,4]"), 4)),
            ("offsets beyond the file", file(&entry("F32", "[1]", "[0,4]"), 3)),
            ("offsets backwards", file(&entry("F32", "[1]", "[4,0]"), 4)),
            ("offsets missing", file(r#"{"q":{"dtype":"F32","shape":[1]}}"#, 4)),
            ("gap before the tensor", file(&entry("F32", "[1]", "[4,8]"), 8)),
            (
                "overlap",
                file(
                    r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
                    8,
                ),
            ),
            ("sizes whose sum overflows", file(&format!("{{{}}}", wrapping.join(",")), 16)),
        ];
        for (what, bytes) in hostile {
            let error = decode(&bytes).err().unwrap_or_else(|| panic!("{what} was accepted"));
            assert!(!error.to_string().contains('\n'), "{what}: {error}");
        }
    }
}
