//! `nixfleet-server hash-password`.

use std::io::{self, IsTerminal, Write};

use secrecy::{ExposeSecret, SecretString};

use super::Failure;
use crate::auth::PasswordHash;

pub(super) fn run() -> Result<(), Failure> {
    if io::stdin().is_terminal() {
        eprint!("Password (visible while you type): ");
        io::stderr().flush().ok();
    }
    let mut line = String::new();
    io::stdin()
        .read_line(&mut line)
        .map_err(|error| Failure::while_doing("cannot read the password", &error))?;
    let password = SecretString::from(line.trim_end_matches(['\r', '\n']));
    let hash = PasswordHash::create(password.expose_secret())
        .map_err(|error| Failure::while_doing("cannot hash the password", &error))?;
    println!("{}", hash.expose());
    Ok(())
}
