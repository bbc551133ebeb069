//! Rules as trees: the grammar of check files.
//!
//! ```text
//! rule    := expr '=' expr
//! expr    := simple { ('+' | '-' | '&' | '|' | '<<' | '>>') simple }
//! simple  := ( '(' expr ')' | load | call | symbol | number ) [ '[' number ':' number ']' ]
//! load    := '*' '{' ( 1 | 2 | 4 | 8 ) '}' expr
//! ```
//!
//! All operators have one precedence and associate to the left; a load takes everything that follows as its address.
//! **Not here:** what symbols and functions mean ([`super::evaluate`]).

use std::fmt;

/// How deep parentheses and loads may be nested: trees are walked by recursion.
const MAX_DEPTH: usize = 100;

/// One rule: both sides are to be equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) left: Expr,
    pub(super) right: Expr,
}

/// Something with a value of 64 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    Number(u64),
    Symbol(String),
    Call(Call),
    /// `*{bytes}address`
    Load {
        bytes: u8,
        address: Box<Expr>,
    },
    /// Operators are applied from the left. Never empty, or it would be `first`.
    Chain {
        first: Box<Expr>,
        rest: Vec<(Operator, Expr)>,
    },
    /// `of[high:low]`
    Slice {
        of: Box<Expr>,
        high: u8,
        low: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    And,
    Or,
    ShiftLeft,
    ShiftRight,
}

impl Operator {
    pub(super) const ALL: [(&'static str, Self); 6] = [
        ("+", Self::Add),
        ("-", Self::Subtract),
        ("&", Self::And),
        ("|", Self::Or),
        ("<<", Self::ShiftLeft),
        (">>", Self::ShiftRight),
    ];
}

/// A function with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    SectionAddr {
        file: String,
        section: String,
    },
    GotAddr {
        file: String,
        symbol: String,
    },
    StubAddr {
        file: String,
        symbol: String,
        /// Which of several kinds of stubs, as a regular expression.
        kind: Option<String>,
    },
    NextPc {
        symbol: String,
    },
    DecodeOperand {
        symbol: String,
        offset: u64,
        operand: u64,
    },
}

/// What cannot be read as a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// What would have been right.
    expected: String,
    /// What stands there, up to the end of the rule.
    rest: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, rest } = self;
        match rest.as_str() {
            "" => write!(f, "expected {expected} at the end"),
            rest => write!(f, "expected {expected} at '{rest}'"),
        }
    }
}

/// The rule that `text` is.
pub(super) fn rule(text: &str) -> Result<Rule, SyntaxError> {
    let mut parser = Parser { rest: text.trim(), depth: 0 };
    let left = parser.expr()?;
    parser.expect("=")?;
    let right = parser.expr()?;
    if parser.rest.is_empty() { Ok(Rule { left, right }) } else { parser.fail("the end or an operator") }
}

struct Parser<'t> {
    /// What is not read yet; no blank in front.
    rest: &'t str,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn fail<T>(&self, expected: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError { expected: expected.into(), rest: self.rest.to_owned() })
    }

    fn advance(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest.trim_start();
        taken
    }

    fn accept(&mut self, token: &str) -> bool {
        let found = self.rest.starts_with(token);
        if found {
            self.advance(token.len());
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), SyntaxError> {
        if self.accept(token) { Ok(()) } else { self.fail(format!("'{token}'")) }
    }

    fn expr(&mut self) -> Result<Expr, SyntaxError> {
        let first = self.simple()?;
        let mut rest = Vec::new();
        while let Some((token, operator)) = Operator::ALL.iter().find(|(token, _)| self.rest.starts_with(token)) {
            self.advance(token.len());
            rest.push((*operator, self.simple()?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Chain { first: Box::new(first), rest } })
    }

    fn simple(&mut self) -> Result<Expr, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail(format!("at most {MAX_DEPTH} levels of parentheses and loads"));
        }
        let of = match self.rest.bytes().next() {
            Some(b'(') => {
                self.advance(1);
                let inner = self.expr()?;
                self.expect(")")?;
                inner
            }
            Some(b'*') => {
                self.advance(1);
                self.expect("{")?;
                let bytes = match self.number()? {
                    bytes @ (1 | 2 | 4 | 8) => bytes as u8,
                    _ => return self.fail("a size of 1, 2, 4 or 8 bytes"),
                };
                self.expect("}")?;
                Expr::Load { bytes, address: Box::new(self.expr()?) }
            }
            Some(b'0'..=b'9') => Expr::Number(self.number()?),
            Some(first) if begins_symbol(first) => {
                let symbol = self.symbol()?;
                if self.rest.starts_with('(') { Expr::Call(self.call(symbol)?) } else { Expr::Symbol(symbol) }
            }
            _ => return self.fail("'(', '*', a symbol or a number"),
        };
        self.depth -= 1;
        self.slice(of)
    }

    fn slice(&mut self, of: Expr) -> Result<Expr, SyntaxError> {
        if !self.accept("[") {
            return Ok(of);
        }
        let high = self.number()?;
        self.expect(":")?;
        let low = self.number()?;
        if low > high || high > 63 {
            return self.fail("bits [HIGH:LOW] with 63 >= HIGH >= LOW before");
        }
        self.expect("]")?;
        Ok(Expr::Slice { of: Box::new(of), high: high as u8, low: low as u8 })
    }

    fn number(&mut self) -> Result<u64, SyntaxError> {
        let hexadecimal = self.rest.strip_prefix("0x").or_else(|| self.rest.strip_prefix("0X"));
        let (digits, radix, prefix) = hexadecimal.map_or((self.rest, 10, 0), |digits| (digits, 16, 2));
        let length = digits.bytes().take_while(|byte| char::from(*byte).is_digit(radix)).count();
        let Ok(number) = u64::from_str_radix(&digits[..length], radix) else {
            return self.fail("a number of at most 64 bits");
        };
        self.advance(prefix + length);
        Ok(number)
    }

    fn symbol(&mut self) -> Result<String, SyntaxError> {
        if !self.rest.bytes().next().is_some_and(begins_symbol) {
            return self.fail("a symbol");
        }
        let length = self.rest.bytes().take_while(|byte| continues_symbol(*byte)).count();
        Ok(self.advance(length).to_owned())
    }

    /// Everything up to one of `ends`: names of files and sections may hold anything else.
    fn name(&mut self, what: &str, ends: &[char]) -> Result<String, SyntaxError> {
        match self.rest.find(ends) {
            Some(length) if length > 0 => Ok(self.advance(length).trim_end().to_owned()),
            _ => self.fail(what),
        }
    }

    fn call(&mut self, function: String) -> Result<Call, SyntaxError> {
        self.advance(1);
        let call = match function.as_str() {
            "section_addr" => {
                let file = self.name("the name of a file", &[','])?;
                self.expect(",")?;
                // Those of Mach-O have a comma in them.
                Call::SectionAddr { file, section: self.name("the name of a section", &[')'])? }
            }
            "got_addr" | "stub_addr" => {
                let file = self.name("the name of a file", &[','])?;
                self.expect(",")?;
                let symbol = self.symbol()?;
                if function == "got_addr" {
                    Call::GotAddr { file, symbol }
                } else {
                    let kind = self.accept(",").then(|| self.name("a kind of stub", &[')'])).transpose()?;
                    Call::StubAddr { file, symbol, kind }
                }
            }
            "next_pc" => Call::NextPc { symbol: self.symbol()? },
            "decode_operand" => {
                let symbol = self.symbol()?;
                let offset = if self.accept("+") { self.number()? } else { 0 };
                self.expect(",")?;
                Call::DecodeOperand { symbol, offset, operand: self.number()? }
            }
            _ => {
                return Err(SyntaxError {
                    expected: "section_addr, got_addr, stub_addr, next_pc or decode_operand".into(),
                    rest: format!("{function}({}", self.rest),
                });
            }
        };
        self.expect(")")?;
        Ok(call)
    }
}

fn begins_symbol(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn continues_symbol(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str) -> Expr {
        Expr::Symbol(name.into())
    }

    #[test]
    fn operators_associate_to_the_left_with_one_precedence() {
        let Rule { left, right } = rule("a + b & c << 2 = d").unwrap();
        assert_eq!(
            left,
            Expr::Chain {
                first: Box::new(symbol("a")),
                rest: vec![
                    (Operator::Add, symbol("b")),
                    (Operator::And, symbol("c")),
                    (Operator::ShiftLeft, Expr::Number(2)),
                ],
            }
        );
        assert_eq!(right, symbol("d"));
    }

    #[test]
    fn a_load_takes_the_whole_expression_that_follows() {
        let Rule { left, .. } = rule("*{4}a + 4 = 0").unwrap();
        let address = Expr::Chain { first: Box::new(symbol("a")), rest: vec![(Operator::Add, Expr::Number(4))] };
        assert_eq!(left, Expr::Load { bytes: 4, address: Box::new(address) });
        let Rule { left, .. } = rule("(*{8}a)[31:0] = 0").unwrap();
        let load = Expr::Load { bytes: 8, address: Box::new(symbol("a")) };
        assert_eq!(left, Expr::Slice { of: Box::new(load), high: 31, low: 0 });
    }

    #[test]
    fn functions_take_names_that_are_no_symbols() {
        let Rule { left, right } =
            rule("section_addr(a-b.o, __DATA,__data) = stub_addr(x y.o, f$1:2, thumb.*)").unwrap();
        assert_eq!(left, Expr::Call(Call::SectionAddr { file: "a-b.o".into(), section: "__DATA,__data".into() }));
        let kind = Some("thumb.*".into());
        assert_eq!(right, Expr::Call(Call::StubAddr { file: "x y.o".into(), symbol: "f$1:2".into(), kind }));
        let Rule { left, right } = rule("decode_operand(f + 0x10, 4)[11:0]=next_pc( f )").unwrap();
        let call = Call::DecodeOperand { symbol: "f".into(), offset: 16, operand: 4 };
        assert_eq!(left, Expr::Slice { of: Box::new(Expr::Call(call)), high: 11, low: 0 });
        assert_eq!(right, Expr::Call(Call::NextPc { symbol: "f".into() }));
    }

    #[test]
    fn what_is_no_rule_is_said_where_it_stands() {
        for (text, told) in [
            ("", "expected '(', '*', a symbol or a number at the end"),
            ("a", "expected '=' at the end"),
            ("a = ", "expected '(', '*', a symbol or a number at the end"),
            ("a = b c", "expected the end or an operator at 'c'"),
            ("*{3}a = 0", "expected a size of 1, 2, 4 or 8 bytes at '}a = 0'"),
            ("a[0:7] = 0", "expected bits [HIGH:LOW] with 63 >= HIGH >= LOW before at '] = 0'"),
            ("a[64:0] = 0", "expected bits [HIGH:LOW] with 63 >= HIGH >= LOW before at '] = 0'"),
            ("0x10000000000000000 = 0", "expected a number of at most 64 bits at '0x10000000000000000 = 0'"),
            ("0x = 0", "expected a number of at most 64 bits at '0x = 0'"),
            ("(a = b", "expected ')' at '= b'"),
            ("f(a) = 0", "expected section_addr, got_addr, stub_addr, next_pc or decode_operand at 'f(a) = 0'"),
            ("decode_operand(a - 4, 0) = 0", "expected ',' at '- 4, 0) = 0'"),
            ("section_addr(a.o) = 0", "expected the name of a file at 'a.o) = 0'"),
            ("got_addr(a.o, 1) = 0", "expected a symbol at '1) = 0'"),
        ] {
            assert_eq!(rule(text).unwrap_err().to_string(), told, "{text}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth: usize| format!("{}a{} = 0", "(".repeat(depth), ")".repeat(depth));
        assert!(rule(&nested(MAX_DEPTH - 1)).is_ok());
        assert!(rule(&nested(MAX_DEPTH)).unwrap_err().to_string().contains("levels"));
        assert!(rule(&format!("{}a = 0", "*{1}".repeat(1_000_000))).is_err());
        assert!(rule(&format!("a{} = 0", " + a".repeat(100_000))).is_ok(), "a chain is not nested");
    }
}
