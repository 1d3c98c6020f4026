//! Secrets from files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::SecretString;

use super::values::ValueError;

/// Reads a secret from a file that nobody else can read.
///
/// # Errors
/// A message that says what is wrong and what to do; it never contains the secret.
pub fn read_secret(path: &Path, check_mode: bool) -> Result<SecretString, ValueError> {
    let shown = path.display();
    let bytes = fs::read(path).map_err(|e| ValueError(format!("cannot read {shown}: {e}")))?;
    if check_mode {
        let mode = fs::metadata(path)
            .map_err(|e| ValueError(format!("cannot read {shown}: {e}")))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(ValueError(format!(
                "{shown} can be read by others (mode {:o}); run: chmod 600 {shown}",
                mode & 0o777
            )));
        }
    }
    let text =
        String::from_utf8(bytes).map_err(|_| ValueError(format!("{shown} does not hold text")))?;
    secret(text.trim()).map_err(|ValueError(why)| ValueError(format!("{shown}: {why}")))
}

pub(super) fn secret(text: &str) -> Result<SecretString, ValueError> {
    if text.is_empty() {
        return Err(ValueError("it holds no token".into()));
    }
    if text.len() > 4096 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ValueError(
            "a token is one word of at most 4096 visible ASCII characters".into(),
        ));
    }
    Ok(SecretString::from(text))
}
