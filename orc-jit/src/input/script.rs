//! Text linker scripts, as development packages install them in place of a library (`libc.so`, `libm.so`, `libgcc_s.so`).
//!
//! **You give** the text. **You get** the files and libraries that it names, in order. **Not here:** looking for these files
//! ([`super::Resolver`]), and scripts that lay out memory (`SECTIONS`, `MEMORY`, ...): a JIT linker has no use for them, and says so.
//!
//! ```
//! use orc_jit::input::script::{Name, Script};
//!
//! let script = Script::parse(b"OUTPUT_FORMAT(elf64-x86-64)\nGROUP ( /lib/libm.so.6  AS_NEEDED ( -lmvec ) )")?;
//! assert_eq!(script.members[0].name, Name::File("/lib/libm.so.6".into()));
//! assert_eq!(script.members[1].name, Name::Library("mvec".into()));
//! assert!(script.members[1].as_needed);
//! # Ok::<(), orc_jit::input::script::ScriptError>(())
//! ```

use std::fmt;

/// A script that was understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// What `OUTPUT_FORMAT` gives first, if it was given.
    pub output_format: Option<String>,
    /// What it asks to link, in order, `GROUP` and `INPUT` alike.
    pub members: Vec<Member>,
    /// Directories of `SEARCH_DIR`, in order.
    pub search_dirs: Vec<String>,
}

/// One file or library that a script names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub name: Name,
    /// Inside `AS_NEEDED`: loaded only when something refers to it.
    pub as_needed: bool,
    /// The line it stands in, from 1.
    pub line: u32,
}

/// How a script names a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// By path, absolute or not.
    File(String),
    /// As `-lNAME` does; without the `-l`.
    Library(String),
}

/// A script that was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {what}")]
pub struct ScriptError {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in bytes.
    pub column: u32,
    /// What is wrong there.
    pub what: String,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// At the first thing that is not part of an implicit linker script: an unknown command, an unclosed parenthesis, comment or quote, bytes that are not text.
    pub fn parse(text: &[u8]) -> Result<Self, ScriptError> {
        let mut tokens = Lexer::new(text);
        let mut script = Self::default();
        loop {
            let (at, token) = tokens.next()?;
            let command = match token {
                Token::End => return Ok(script),
                Token::Semicolon | Token::Comma => continue,
                Token::Word(command) => command,
                other => return Err(at.error(format!("expected a command, found {other}"))),
            };
            match command {
                "GROUP" | "INPUT" => script.read_members(&mut tokens, false)?,
                "AS_NEEDED" => script.read_members(&mut tokens, true)?,
                "OUTPUT_FORMAT" => {
                    // OUTPUT_FORMAT(default[, big, little]): the default counts.
                    let mut names = tokens.words_in_parens(command)?.into_iter();
                    script.output_format = names.next();
                }
                "OUTPUT_ARCH" => drop(tokens.words_in_parens(command)?),
                "SEARCH_DIR" => script.search_dirs.extend(tokens.words_in_parens(command)?),
                _ => return Err(at.error(unknown(command))),
            }
        }
    }

    /// `( name -lname AS_NEEDED ( ... ) ... )`. Depth is counted, not recursed.
    fn read_members(&mut self, tokens: &mut Lexer<'_>, as_needed: bool) -> Result<(), ScriptError> {
        let open = tokens.open_paren(if as_needed { "AS_NEEDED" } else { "GROUP or INPUT" })?;
        let mut depth = vec![as_needed];
        while let Some(&as_needed) = depth.last() {
            let (at, token) = tokens.next()?;
            let (word, quoted) = match token {
                Token::Close => {
                    depth.pop();
                    continue;
                }
                Token::Open => {
                    depth.push(as_needed);
                    continue;
                }
                Token::Comma => continue,
                Token::Word(word) => (word, false),
                Token::Quoted(word) => (word, true),
                Token::Semicolon => return Err(at.error("expected a name or `)`, found `;`")),
                Token::End => return Err(open.error("this parenthesis is never closed")),
            };
            if !quoted && word == "AS_NEEDED" {
                tokens.open_paren(word)?;
                depth.push(true);
                continue;
            }
            let name = match word.strip_prefix("-l") {
                Some("") => return Err(at.error("`-l` without a name")),
                Some(library) if !quoted => Name::Library(library.into()),
                // `=path` means below the system root, which is `/` here (ld, "File Commands").
                _ => Name::File(word.strip_prefix('=').unwrap_or(word).into()),
            };
            self.members.push(Member { name, as_needed, line: at.line });
        }
        Ok(())
    }
}

/// The commands that are left out on purpose are named, so that nobody thinks of a typing error.
fn unknown(command: &str) -> String {
    const LAYOUT: &[&str] = &[
        "SECTIONS", "MEMORY", "PHDRS", "VERSION", "ENTRY", "PROVIDE", "ASSERT", "INCLUDE", "EXTERN", "STARTUP",
        "TARGET",
    ];
    const KNOWN: &str = "GROUP, INPUT, AS_NEEDED, OUTPUT_FORMAT, OUTPUT_ARCH and SEARCH_DIR";
    if LAYOUT.contains(&command) {
        format!("{command} has no meaning when linking into memory; only {KNOWN} are supported")
    } else {
        format!("`{command}` is not a linker script command; supported are {KNOWN}")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Quoted(&'a str),
    Open,
    Close,
    Comma,
    Semicolon,
    End,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Quoted(word) => write!(f, "\"{word}\""),
            Self::Open => f.write_str("`(`"),
            Self::Close => f.write_str("`)`"),
            Self::Comma => f.write_str("`,`"),
            Self::Semicolon => f.write_str("`;`"),
            Self::End => f.write_str("the end of the script"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct At {
    line: u32,
    column: u32,
}

impl At {
    fn error(self, what: impl Into<String>) -> ScriptError {
        ScriptError { line: self.line, column: self.column, what: what.into() }
    }
}

struct Lexer<'a> {
    text: &'a [u8],
    position: usize,
    line: u32,
    line_start: usize,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, position: 0, line: 1, line_start: 0 }
    }

    fn at(&self) -> At {
        At { line: self.line, column: u32::try_from(self.position - self.line_start + 1).unwrap_or(u32::MAX) }
    }

    fn advance(&mut self) {
        if self.text[self.position] == b'\n' {
            self.line += 1;
            self.line_start = self.position + 1;
        }
        self.position += 1;
    }

    fn skip_blanks(&mut self) -> Result<(), ScriptError> {
        while let Some(&byte) = self.text.get(self.position) {
            if byte.is_ascii_whitespace() {
                self.advance();
            } else if self.text[self.position..].starts_with(b"/*") {
                let start = self.at();
                self.advance();
                self.advance();
                while !self.text[self.position..].starts_with(b"*/") {
                    if self.position >= self.text.len() {
                        return Err(start.error("this comment is never closed"));
                    }
                    self.advance();
                }
                self.advance();
                self.advance();
            } else {
                break;
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(At, Token<'a>), ScriptError> {
        self.skip_blanks()?;
        let at = self.at();
        let Some(&byte) = self.text.get(self.position) else { return Ok((at, Token::End)) };
        let single = match byte {
            b'(' => Some(Token::Open),
            b')' => Some(Token::Close),
            b',' => Some(Token::Comma),
            b';' => Some(Token::Semicolon),
            _ => None,
        };
        if let Some(token) = single {
            self.advance();
            return Ok((at, token));
        }
        if byte == b'"' {
            self.advance();
            let start = self.position;
            while self.text.get(self.position).is_some_and(|b| *b != b'"') {
                self.advance();
            }
            if self.position == self.text.len() {
                return Err(at.error("this quote is never closed"));
            }
            let word = utf8(&self.text[start..self.position], at)?;
            self.advance();
            return Ok((at, Token::Quoted(word)));
        }
        let start = self.position;
        let ends = |b: u8| b.is_ascii_whitespace() || b.is_ascii_control() || b"(),;\"{}".contains(&b);
        while self.text.get(self.position).is_some_and(|b| !ends(*b)) {
            self.advance();
        }
        if start == self.position {
            return Err(at.error(format!("unexpected `{}`", byte.escape_ascii())));
        }
        Ok((at, Token::Word(utf8(&self.text[start..self.position], at)?)))
    }

    fn open_paren(&mut self, after: &str) -> Result<At, ScriptError> {
        match self.next()? {
            (at, Token::Open) => Ok(at),
            (at, other) => Err(at.error(format!("expected `(` after {after}, found {other}"))),
        }
    }

    fn words_in_parens(&mut self, command: &str) -> Result<Vec<String>, ScriptError> {
        let open = self.open_paren(command)?;
        let mut words = Vec::new();
        loop {
            match self.next()? {
                (_, Token::Close) => return Ok(words),
                (_, Token::Comma) => {}
                (_, Token::Word(word) | Token::Quoted(word)) => words.push(word.to_owned()),
                (_, Token::End) => return Err(open.error("this parenthesis is never closed")),
                (at, other) => return Err(at.error(format!("expected a name or `)`, found {other}"))),
            }
        }
    }
}

fn utf8(bytes: &[u8], at: At) -> Result<&str, ScriptError> {
    std::str::from_utf8(bytes).map_err(|_| at.error("this name is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Members as a user would write them; `?` marks as-needed.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let script = Script::parse(text.as_bytes()).unwrap();
        let shown: Vec<String> = script
            .members
            .iter()
            .map(|m| {
                let name = match &m.name {
                    Name::File(path) => path.clone(),
                    Name::Library(name) => format!("-l{name}"),
                };
                format!("{name}{}", if m.as_needed { "?" } else { "" })
            })
            .collect();
        assert_eq!(shown.join(" "), expected);
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        assert_eq!(Script::parse(text.as_bytes()).unwrap_err().to_string(), expected);
    }

    #[test]
    fn scripts_of_debian() {
        check(
            "/* GNU ld script\n   Use the shared library. */\nOUTPUT_FORMAT(elf64-x86-64)\n\
             GROUP ( /lib/x86_64-linux-gnu/libc.so.6 /usr/lib/x86_64-linux-gnu/libc_nonshared.a  AS_NEEDED ( /lib64/ld-linux-x86-64.so.2 ) )\n",
            "/lib/x86_64-linux-gnu/libc.so.6 /usr/lib/x86_64-linux-gnu/libc_nonshared.a /lib64/ld-linux-x86-64.so.2?",
        );
        check("GROUP ( libgcc_s.so.1 -lgcc )", "libgcc_s.so.1 -lgcc");
        check("INPUT(-ltinfo)", "-ltinfo");
        check("/* nothing */", "");
    }

    #[test]
    fn lists_nest_and_names_may_be_quoted() {
        check("INPUT(a.o, (b.o (c.o)) d.o);GROUP(AS_NEEDED(e.so (f.so)) g.so)", "a.o b.o c.o d.o e.so? f.so? g.so");
        check("INPUT(\"my lib.a\" \"-lx\" =/lib/y.so)", "my lib.a -lx /lib/y.so");
        check("INPUT(-l:exact.a)/**/AS_NEEDED(z)", "-l:exact.a z?");
    }

    #[test]
    fn formats_and_directories() {
        let script = Script::parse(
            b"OUTPUT_FORMAT(elf64-x86-64, elf64-big, elf64-little)\nOUTPUT_ARCH(i386:x86-64) SEARCH_DIR(/opt/lib)",
        )
        .unwrap();
        assert_eq!(script.output_format.as_deref(), Some("elf64-x86-64"));
        assert_eq!(script.search_dirs, ["/opt/lib"]);
    }

    #[test]
    fn errors_say_where() {
        check_error("GROUP ( a\n b", "1:7: this parenthesis is never closed");
        check_error(
            "\n  SECTIONS { }",
            "2:3: SECTIONS has no meaning when linking into memory; only GROUP, INPUT, AS_NEEDED, OUTPUT_FORMAT, OUTPUT_ARCH and SEARCH_DIR are supported",
        );
        check_error(
            "int main;",
            "1:1: `int` is not a linker script command; supported are GROUP, INPUT, AS_NEEDED, OUTPUT_FORMAT, OUTPUT_ARCH and SEARCH_DIR",
        );
        check_error("INPUT(\"a)", "1:7: this quote is never closed");
        check_error("/* x", "1:1: this comment is never closed");
        check_error("/*", "1:1: this comment is never closed");
        check_error("INPUT a.o", "1:7: expected `(` after GROUP or INPUT, found `a.o`");
        check_error("INPUT(a;b)", "1:8: expected a name or `)`, found `;`");
        check_error("INPUT(-l)", "1:7: `-l` without a name");
        check_error("{", "1:1: unexpected `{`");
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("INPUT{}a.o{}", "(".repeat(1_000_000), ")".repeat(1_000_000));
        check(&deep, "a.o");
    }
}
