//! Checks: rules about linked code, written as comments of any file.
//!
//! **You give** the text of a file, the name that its rules stand under, and a finished link ([`World`]). **You get** what of it is false, malformed or
//! cannot be told. **Not here:** what files and symbols are ([`super::world`]), and instructions ([`super::decode`]).
//!
//! ```text
//! # jitlink-check: decode_operand(call, 0) = callee - next_pc(call)
//! # jitlink-check: *{8}pointer = \
//! # jitlink-check:     section_addr(a.o, .data) + 8
//! ```

mod evaluate;
mod parse;

pub(crate) use evaluate::{Instruction, World};

/// What is wrong with a file of rules, in the order of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed(pub(crate) Vec<String>);

/// Tries all rules of `text` under the name `name`.
///
/// # Errors
/// Each rule that is false, with both values, or that cannot be evaluated; and a text without any rule.
pub(crate) fn check(text: &str, name: &str, world: &impl World) -> Result<(), Failed> {
    let rules = rules(text, name);
    if rules.is_empty() {
        return Err(Failed(vec![format!("there is no rule: no line begins with '# {name}:'")]));
    }
    let failures: Vec<String> = rules.iter().filter_map(|rule| try_rule(rule, world).err()).collect();
    if failures.is_empty() { Ok(()) } else { Err(Failed(failures)) }
}

/// The rules of a file: what follows the prefix, with continued lines joined.
fn rules(text: &str, name: &str) -> Vec<String> {
    let prefix = format!("# {name}:");
    let mut rules = Vec::new();
    let mut unfinished: Option<String> = None;
    for line in text.lines() {
        let Some(part) = line.trim().strip_prefix(&prefix) else { continue };
        let mut rule = unfinished.take().unwrap_or_default();
        match part.strip_suffix('\\') {
            Some(part) => {
                rule.push_str(part);
                unfinished = Some(rule);
            }
            None => {
                rule.push_str(part);
                rules.push(rule.trim().to_owned());
            }
        }
    }
    // What ends in the middle is a rule, and a malformed one as a rule is.
    rules.extend(unfinished.map(|rule| rule.trim().to_owned()));
    rules
}

fn try_rule(text: &str, world: &impl World) -> Result<(), String> {
    let cannot = |why: String| format!("Expression '{text}' cannot be evaluated: {why}");
    let rule = parse::rule(text).map_err(|error| cannot(error.to_string()))?;
    let left = evaluate::value(world, &rule.left).map_err(cannot)?;
    let right = evaluate::value(world, &rule.right).map_err(cannot)?;
    if left == right { Ok(()) } else { Err(format!("Expression '{text}' is false: {left:#x} != {right:#x}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Eight bytes at 0x1000, zeros behind them, and a few names.
    struct Sample;

    impl World for Sample {
        fn symbol(&self, name: &str) -> Result<u64, String> {
            match name {
                "data" => Ok(0x1000),
                "zeros" => Ok(0x1008),
                "high" => Ok(u64::MAX),
                "call" => Ok(0x2000),
                _ => Err(format!("there is no symbol {name}")),
            }
        }

        fn read(&self, address: u64, bytes: u8) -> Result<u64, String> {
            let memory = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0, 0, 0, 0, 0, 0, 0, 0];
            let start = address.checked_sub(0x1000).and_then(|offset| usize::try_from(offset).ok());
            let found = start.and_then(|start| memory.get(start..start.checked_add(bytes.into())?));
            let found = found.ok_or_else(|| format!("nothing is linked at {address:#x}"))?;
            let mut word = [0; 8];
            word[..found.len()].copy_from_slice(found);
            Ok(u64::from_le_bytes(word))
        }

        fn section(&self, file: &str, section: &str) -> Result<u64, String> {
            if (file, section) == ("a.o", ".data") { Ok(0x1000) } else { Err(format!("no {section} in {file}")) }
        }

        fn slot(&self, _: &str, symbol: &str) -> Result<u64, String> {
            if symbol == "data" { Ok(0x3000) } else { Err(format!("no slot for {symbol}")) }
        }

        fn stub(&self, _: &str, symbol: &str, kind: Option<&str>) -> Result<u64, String> {
            if kind.is_none() { self.slot("", symbol).map(|slot| slot + 0x1000) } else { Err("no such kind".into()) }
        }

        fn instruction(&self, symbol: &str, offset: u64) -> Result<Instruction, String> {
            match (symbol, offset) {
                ("call", 0) => Ok(Instruction { length: 5, operands: vec![Some(-5)] }),
                ("call", 5) => Ok(Instruction { length: 7, operands: vec![None, Some(64)] }),
                _ => Err("no code".into()),
            }
        }
    }

    #[track_caller]
    fn passes(rule: &str) {
        assert_eq!(check(&format!("# c: {rule}\n"), "c", &Sample), Ok(()), "{rule}");
    }

    #[track_caller]
    fn fails(rule: &str, told: &str) {
        let Err(Failed(failures)) = check(&format!("# c: {rule}\n"), "c", &Sample) else { panic!("{rule} passes") };
        assert_eq!(failures, [format!("Expression '{rule}' {told}")]);
    }

    #[test]
    fn both_sides_are_evaluated() {
        passes("data = 0x1000");
        passes("*{1}data = 0x11");
        passes("*{2}data + 1 = 0x3322");
        passes("*{4}data + 4 = 0x88776655");
        passes("(*{8}data) = 0x8877665544332211");
        passes("(*{8}data)[31:16] = 0x4433");
        passes("*{8}zeros = 0");
        passes("*{8}(data + *{1}zeros) = 0x8877665544332211");
        passes("high + 2 = 1");
        passes("0 - 1 = high");
        passes("1 << 63 >> 63 = 1");
        passes("1 << 64 = 0");
        passes("high >> 1000000000000 = 0");
        passes("6 & 3 | 8 = 10");
        passes("data[15:12] = 1");
        passes("high[63:0] = high");
        passes("section_addr(a.o, .data) + 8 = zeros");
        passes("got_addr(a.o, data) = 0x3000");
        passes("stub_addr(a.o, data) - got_addr(a.o, data) = 0x1000");
        passes("next_pc(call) = call + 5");
        passes("decode_operand(call, 0) = data - 0x1000 - 5");
        passes("decode_operand(call + 5, 1) = 64");
    }

    #[test]
    fn what_is_false_is_told_with_both_values() {
        fails("data = 4097", "is false: 0x1000 != 0x1001");
        fails("0 - 1 = 0", "is false: 0xffffffffffffffff != 0x0");
    }

    #[test]
    fn what_cannot_be_evaluated_fails() {
        fails("nobody = 0", "cannot be evaluated: there is no symbol nobody");
        fails("*{8}0 = 0", "cannot be evaluated: nothing is linked at 0x0");
        fails("*{8}data + 9 = 0", "cannot be evaluated: nothing is linked at 0x1009");
        fails(
            "decode_operand(call + 5, 0) = 0",
            "cannot be evaluated: operand 0 of the instruction at call is not an immediate",
        );
        fails(
            "decode_operand(call, 1) = 0",
            "cannot be evaluated: the instruction at call has 1 operands, counted from 0: there is none 1",
        );
        fails("stub_addr(a.o, data, arm) = 0", "cannot be evaluated: no such kind");
        fails("data", "cannot be evaluated: expected '=' at the end");
    }

    #[test]
    fn every_rule_of_a_file_is_tried() {
        let text = "\
            # c: data = 0\n\
            #c: data = 0\n\
            \t # c: data = \\\n\
            ; something else\n\
              # c:   0x1000\n\
            # other: data = 0\n\
            code # c: data = 0\n\
            # c: zeros = 1\n\
            # c: data \\\n";
        let Err(Failed(failures)) = check(text, "c", &Sample) else { panic!("passes") };
        assert_eq!(
            failures,
            [
                "Expression 'data = 0' is false: 0x1000 != 0x0",
                "Expression 'zeros = 1' is false: 0x1008 != 0x1",
                "Expression 'data' cannot be evaluated: expected '=' at the end",
            ]
        );
    }

    #[test]
    fn a_file_without_rules_fails() {
        let none = Err(Failed(vec!["there is no rule: no line begins with '# x:'".into()]));
        assert_eq!(check("# c: data = 0x1000\n", "x", &Sample), none);
        assert_eq!(check("", "x", &Sample), none);
    }

    /// An expression as text, and what it is worth.
    fn expressions() -> impl Strategy<Value = (String, u64)> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(|number| (number.to_string(), number)),
            any::<u64>().prop_map(|number| (format!("{number:#x}"), number)),
            Just(("data".to_owned(), 0x1000)),
            Just(("high".to_owned(), u64::MAX)),
        ];
        let simple = leaf.prop_recursive(4, 64, 4, |inner| {
            let chain = (inner.clone(), prop::collection::vec((0..6usize, inner.clone()), 0..4));
            let chain = chain.prop_map(|((mut text, mut value), rest)| {
                for (operator, (operand, by)) in rest {
                    let token = ["+", "-", "&", "|", "<<", ">>"][operator];
                    text = format!("{text} {token}{operand}");
                    value = match token {
                        "+" => value.wrapping_add(by),
                        "-" => value.wrapping_sub(by),
                        "&" => value & by,
                        "|" => value | by,
                        "<<" => {
                            if by < 64 {
                                value << by
                            } else {
                                0
                            }
                        }
                        _ => {
                            if by < 64 {
                                value >> by
                            } else {
                                0
                            }
                        }
                    };
                }
                (format!("({text})"), value)
            });
            let slice = (inner, 0..64u32, 0..64u32).prop_map(|((text, value), a, b)| {
                let (high, low) = (a.max(b), a.min(b));
                let bits = high - low + 1;
                let kept = if bits == 64 { value } else { (value >> low) & ((1 << bits) - 1) };
                (format!("({text})[{high}:{low}]"), kept)
            });
            prop_oneof![chain, slice]
        });
        simple
    }

    proptest! {
        #[test]
        fn an_expression_is_worth_what_its_parts_say((text, value) in expressions()) {
            prop_assert_eq!(check(&format!("# c: {text} = {value:#x}"), "c", &Sample), Ok(()));
            let wrong = check(&format!("# c: {} = {text}", value.wrapping_add(1)), "c", &Sample);
            prop_assert!(wrong.is_err());
        }

        #[test]
        fn loads_read_what_stands_there(offset in 0..8u64, width in 0..4u32) {
            let bytes = 1 << width;
            let value = Sample.read(0x1000 + offset, bytes).unwrap();
            prop_assert_eq!(check(&format!("# c: *{{{bytes}}}data + {offset} = {value}"), "c", &Sample), Ok(()));
        }

        #[test]
        fn no_text_is_worse_than_malformed(text in "[-a-d0-9x(){}*+&|<>=:, \\[\\]]{0,60}|\\PC{0,30}") {
            // Whatever it says: it is told, a reason for each rule, and nothing panics.
            if let Err(Failed(reasons)) = check(&format!("# c: {text}"), "c", &Sample) {
                prop_assert!(!reasons.is_empty() && reasons.iter().all(|reason| !reason.is_empty()));
            }
        }
    }
}
