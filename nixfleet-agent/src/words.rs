//! Splits a configured command into words the way a shell would quote them, without any shell:
//! no variables, no globs, no substitution.

/// The text cannot be split into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A quote was opened and never closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// The text ends with a backslash.
    #[error("it ends with a backslash")]
    TrailingBackslash,
    /// The text holds no word at all.
    #[error("it is empty")]
    Empty,
    /// A word holds a NUL byte, which no program can receive.
    #[error("it contains a NUL byte")]
    Nul,
}

/// Splits `text` at blanks; single quotes, double quotes and backslashes keep words together.
///
/// # Errors
/// [`WordsError`] when a quote or escape is unfinished, or there is no word.
pub fn split(text: &str) -> Result<Vec<String>, WordsError> {
    if text.contains('\0') {
        return Err(WordsError::Nul);
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => quoted(&mut rest, '\'', word.get_or_insert_default())?,
            '"' => quoted(&mut rest, '"', word.get_or_insert_default())?,
            '\\' => {
                let next = rest.next().ok_or(WordsError::TrailingBackslash)?;
                word.get_or_insert_default().push(next);
            }
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    if words.first().is_none_or(String::is_empty) {
        return Err(WordsError::Empty);
    }
    Ok(words)
}

fn quoted(
    rest: &mut std::str::Chars<'_>,
    quote: char,
    word: &mut String,
) -> Result<(), WordsError> {
    loop {
        match rest.next().ok_or(WordsError::OpenQuote)? {
            c if c == quote => return Ok(()),
            '\\' if quote == '"' => {
                let next = rest.next().ok_or(WordsError::OpenQuote)?;
                if !matches!(next, '"' | '\\' | '$' | '`') {
                    word.push('\\');
                }
                word.push(next);
            }
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_keeps_words_together_and_nothing_is_expanded() {
        for (text, words) in [
            ("a b", vec!["a", "b"]),
            ("  a\t'b c' ", vec!["a", "b c"]),
            (r#"a "b \"c\" \d" e\ f"#, vec!["a", r#"b "c" \d"#, "e f"]),
            ("a ''", vec!["a", ""]),
            ("$(rm) `x` $HOME *;|", vec!["$(rm)", "`x`", "$HOME", "*;|"]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
    }

    #[test]
    fn unfinished_text_is_refused() {
        for (text, error) in [
            ("", WordsError::Empty),
            ("''", WordsError::Empty),
            ("a 'b", WordsError::OpenQuote),
            ("a \"b\\", WordsError::OpenQuote),
            ("a \\", WordsError::TrailingBackslash),
            ("a\0b", WordsError::Nul),
        ] {
            assert_eq!(split(text), Err(error), "{text:?}");
        }
    }
}
