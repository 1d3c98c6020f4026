//! From bytes to lines that are safe to send and to show: at most 16 KiB, valid UTF-8, no control
//! characters; nothing is lost.

use super::frames::Stream;

/// The longest line, in bytes.
pub const LINE_LIMIT: usize = 16 * 1024;

/// One line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// Its number within the job, from 1, the same at every reading.
    pub n: u64,
    /// Where it was written to.
    pub stream: Stream,
    /// The text without its line end.
    pub text: String,
    /// The line was longer than the limit and goes on in the next one of the same stream.
    pub continued: bool,
}

/// Splits one stream into pieces {text, continued}.
#[derive(Debug, Default)]
pub struct LineSplitter {
    text: String,
    // The bytes of a character whose end has not arrived.
    partial: Vec<u8>,
    after_return: bool,
    open: bool,
}

impl LineSplitter {
    /// Takes in bytes, gives every line they complete.
    pub fn push(&mut self, bytes: &[u8], mut line: impl FnMut(String, bool)) {
        let mut joined;
        let mut rest = bytes;
        if !self.partial.is_empty() {
            joined = std::mem::take(&mut self.partial);
            joined.extend_from_slice(bytes);
            rest = &joined;
        }
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => return self.characters(valid, &mut line),
                Err(error) => {
                    let (valid, bad) = rest.split_at(error.valid_up_to());
                    self.characters(&String::from_utf8_lossy(valid), &mut line);
                    let Some(length) = error.error_len() else {
                        self.partial = bad.to_vec();
                        return;
                    };
                    self.character('\u{fffd}', &mut line);
                    rest = &bad[length..];
                }
            }
        }
    }

    /// The stream is over: gives what is left without a line end.
    pub fn finish(&mut self, mut line: impl FnMut(String, bool)) {
        if !self.partial.is_empty() {
            self.partial.clear();
            self.character('\u{fffd}', &mut line);
        }
        if self.open {
            self.end(false, &mut line);
        }
    }

    fn characters(&mut self, text: &str, line: &mut impl FnMut(String, bool)) {
        for c in text.chars() {
            self.character(c, line);
        }
    }

    fn character(&mut self, c: char, line: &mut impl FnMut(String, bool)) {
        let after_return = std::mem::replace(&mut self.after_return, c == '\r');
        match c {
            '\n' if after_return => {}
            // A lone return is how progress displays overwrite themselves: each state is a line.
            '\n' | '\r' => self.end(false, line),
            '\t' => self.append("\t", line),
            c if must_be_escaped(c) => self.append(&c.escape_default().to_string(), line),
            c => self.append(c.encode_utf8(&mut [0; 4]), line),
        }
    }

    fn append(&mut self, piece: &str, line: &mut impl FnMut(String, bool)) {
        if self.text.len() + piece.len() > LINE_LIMIT {
            self.end(true, line);
        }
        self.text.push_str(piece);
        self.open = true;
    }

    fn end(&mut self, continued: bool, line: &mut impl FnMut(String, bool)) {
        self.open = false;
        line(std::mem::take(&mut self.text), continued);
    }
}

/// Controls, and the marks that reverse the direction of text: both could disguise a line.
fn must_be_escaped(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(parts: &[&[u8]]) -> Vec<(String, bool)> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for part in parts {
            splitter.push(part, |text, continued| lines.push((text, continued)));
        }
        splitter.finish(|text, continued| lines.push((text, continued)));
        lines
    }

    fn texts(parts: &[&[u8]]) -> Vec<String> {
        split(parts).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn every_kind_of_line_end_and_the_missing_one() {
        assert_eq!(texts(&[b"a\nb\r\nc\rd"]), ["a", "b", "c", "d"]);
        assert_eq!(texts(&[b"a\r", b"\nb\n"]), ["a", "b"]);
        assert_eq!(texts(&[b"\n\n"]), ["", ""]);
        assert!(texts(&[b""]).is_empty());
    }

    #[test]
    fn invalid_bytes_are_replaced_and_characters_cut_by_a_read_are_not() {
        assert_eq!(texts(&[b"a\xffb\n"]), ["a\u{fffd}b"]);
        assert_eq!(texts(&[b"\xe2\x82", b"\xac\n"]), ["€"]);
        assert_eq!(texts(&[b"x\xe2\x82"]), ["x\u{fffd}"]);
    }

    #[test]
    fn sec12_controls_are_visible() {
        assert_eq!(texts(&[b"\x1b[2Jx\x07\ty\n"]), ["\\u{1b}[2Jx\\u{7}\ty"]);
    }

    proptest! {
        #[test]
        fn c10_lines_are_short_and_together_are_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            repeat in 1_usize..400,
            cut in 1_usize..5000,
        ) {
            let all = bytes.repeat(repeat);
            let parts: Vec<&[u8]> = all.chunks(cut).collect();
            let lines = split(&parts);
            prop_assert!(lines.iter().all(|(text, _)| text.len() <= LINE_LIMIT));
            prop_assert_eq!(&lines, &split(&[&all]));
            let whole: String = lines
                .iter()
                .flat_map(|(text, continued)| [text.as_str(), if *continued { "" } else { "\n" }])
                .collect();
            let mut expected = String::new();
            let text = String::from_utf8_lossy(&all).replace("\r\n", "\n").replace('\r', "\n");
            for c in text.chars() {
                match c {
                    '\n' | '\t' => expected.push(c),
                    c if must_be_escaped(c) => expected.extend(c.escape_default()),
                    c => expected.push(c),
                }
            }
            if !expected.is_empty() && !expected.ends_with('\n') {
                expected.push('\n');
            }
            prop_assert_eq!(whole, expected);
        }
    }
}
