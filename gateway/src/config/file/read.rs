//! From a path to a text of bounded length.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::{FILE_BYTES_MAX, FileError, line};

/// Reads no more than the bound, whatever the path leads to.
pub(super) fn text(path: &Path) -> Result<String, FileError> {
    let error = |line, why| FileError { path: path.to_owned(), line, why };
    let bytes = bytes(path).map_err(|why| error(None, advice(&why)))?;
    if bytes.len() > FILE_BYTES_MAX {
        let why = format!("it is longer than {FILE_BYTES_MAX} bytes (1 MiB); shorten it");
        return Err(error(None, why));
    }
    String::from_utf8(bytes).map_err(|wrong| {
        let valid = wrong.utf8_error().valid_up_to();
        let text = str::from_utf8(&wrong.as_bytes()[..valid]).expect("it is valid up to there");
        error(Some(line(text, valid)), "it is not UTF-8 there; save it as UTF-8".to_owned())
    })
}

/// A byte more than the bound at most: enough to see that it is passed.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn advice(error: &io::Error) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "only these have advice of their own")]
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file; see --config".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory; name a file in it".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be read; change its permissions".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}
