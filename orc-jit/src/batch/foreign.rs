//! Graphs whose functions follow Windows' calling convention, in a process whose own functions do not.
//!
//! Initializers, finalizers and entry points are called through code in between, and so are functions of the C library whose arguments are known.
//! Functions of the process whose arguments nobody here knows are not called at all: a call would look right, and read its arguments from where they
//! are not. Such a name is undefined, and the report says why.

use super::View;
use super::gather::Gathered;
use jitlink::bridge::{Argument, Bridge};
use jitlink::graph::{Convention, Definition, GlobalDefinition, LinkGraph, Linkage, Scope, SymbolId, SymbolKind};
use std::collections::HashSet;

/// What stands in for a name.
#[derive(Clone, Copy, Debug)]
enum Native {
    /// A function of the C library, under this name and with these arguments: a word `w`, a number in a vector register `d`, and `.` for variable
    /// arguments, of which the function takes a `va_list`.
    Call(&'static str, &'static str),
    /// A function that has nothing to do here.
    Nothing,
    /// `atexit`: the handler is one of this graph's functions.
    AtExit,
    /// A constant.
    Constant(u64),
}

use Native::{AtExit, Call, Constant, Nothing};

/// Names that compilers for Windows and their C programs need, in order. Functions with a `long` or a `wchar_t` among their arguments are left out, since
/// these have another size there, and so are functions that are given functions to call.
const NATIVES: &[(&str, Native)] = &[
    ("??2@YAPEAX_K@Z", Call("malloc", "w")),
    ("??3@YAXPEAX@Z", Call("free", "w")),
    ("??3@YAXPEAX_K@Z", Call("free", "w")),
    ("??_U@YAPEAX_K@Z", Call("malloc", "w")),
    ("??_V@YAXPEAX@Z", Call("free", "w")),
    ("??_V@YAXPEAX_K@Z", Call("free", "w")),
    ("_ZdaPv", Call("free", "w")),
    ("_ZdaPvy", Call("free", "w")),
    ("_ZdlPv", Call("free", "w")),
    ("_ZdlPvy", Call("free", "w")),
    ("_Znay", Call("malloc", "w")),
    ("_Znwy", Call("malloc", "w")),
    // Stacks need no probing here: their pages are there.
    ("___chkstk_ms", Nothing),
    ("__chkstk", Nothing),
    ("__cxa_pure_virtual", Call("abort", "")),
    // GNU tools have main call it to run constructors, which have run by then.
    ("__main", Nothing),
    ("_exit", Call("_exit", "w")),
    // Code that uses floating point refers to it, for an address that nobody reads.
    ("_fltused", Constant(0x9875)),
    ("_purecall", Call("abort", "")),
    ("abort", Call("abort", "")),
    ("abs", Call("abs", "w")),
    ("acos", Call("acos", "d")),
    ("asin", Call("asin", "d")),
    ("atan", Call("atan", "d")),
    ("atan2", Call("atan2", "dd")),
    ("atexit", AtExit),
    ("atof", Call("atof", "w")),
    ("atoi", Call("atoi", "w")),
    ("calloc", Call("calloc", "ww")),
    ("cbrt", Call("cbrt", "d")),
    ("ceil", Call("ceil", "d")),
    ("ceilf", Call("ceilf", "d")),
    ("cos", Call("cos", "d")),
    ("cosf", Call("cosf", "d")),
    ("cosh", Call("cosh", "d")),
    ("exit", Call("exit", "w")),
    ("exp", Call("exp", "d")),
    ("exp2", Call("exp2", "d")),
    ("expf", Call("expf", "d")),
    ("fabs", Call("fabs", "d")),
    ("fabsf", Call("fabsf", "d")),
    ("fclose", Call("fclose", "w")),
    ("feof", Call("feof", "w")),
    ("ferror", Call("ferror", "w")),
    ("fflush", Call("fflush", "w")),
    ("fgetc", Call("fgetc", "w")),
    ("fgets", Call("fgets", "www")),
    ("floor", Call("floor", "d")),
    ("floorf", Call("floorf", "d")),
    ("fma", Call("fma", "ddd")),
    ("fmod", Call("fmod", "dd")),
    ("fmodf", Call("fmodf", "dd")),
    ("fopen", Call("fopen", "ww")),
    ("fprintf", Call("vfprintf", "ww.")),
    ("fputc", Call("fputc", "ww")),
    ("fputs", Call("fputs", "ww")),
    ("fread", Call("fread", "wwww")),
    ("free", Call("free", "w")),
    ("frexp", Call("frexp", "dw")),
    ("fwrite", Call("fwrite", "wwww")),
    ("getchar", Call("getchar", "")),
    ("getenv", Call("getenv", "w")),
    ("hypot", Call("hypot", "dd")),
    ("isalnum", Call("isalnum", "w")),
    ("isalpha", Call("isalpha", "w")),
    ("isdigit", Call("isdigit", "w")),
    ("isspace", Call("isspace", "w")),
    ("ldexp", Call("ldexp", "dw")),
    ("log", Call("log", "d")),
    ("log10", Call("log10", "d")),
    ("log2", Call("log2", "d")),
    ("logf", Call("logf", "d")),
    ("malloc", Call("malloc", "w")),
    ("memchr", Call("memchr", "www")),
    ("memcmp", Call("memcmp", "www")),
    ("memcpy", Call("memcpy", "www")),
    ("memmove", Call("memmove", "www")),
    ("memset", Call("memset", "www")),
    ("modf", Call("modf", "dw")),
    ("perror", Call("perror", "w")),
    ("pow", Call("pow", "dd")),
    ("powf", Call("powf", "dd")),
    ("printf", Call("vprintf", "w.")),
    ("putchar", Call("putchar", "w")),
    ("puts", Call("puts", "w")),
    ("rand", Call("rand", "")),
    ("realloc", Call("realloc", "ww")),
    ("round", Call("round", "d")),
    ("roundf", Call("roundf", "d")),
    ("sin", Call("sin", "d")),
    ("sinf", Call("sinf", "d")),
    ("sinh", Call("sinh", "d")),
    ("snprintf", Call("vsnprintf", "www.")),
    ("sprintf", Call("vsprintf", "ww.")),
    ("sqrt", Call("sqrt", "d")),
    ("sqrtf", Call("sqrtf", "d")),
    ("srand", Call("srand", "w")),
    ("sscanf", Call("vsscanf", "ww.")),
    ("strcat", Call("strcat", "ww")),
    ("strchr", Call("strchr", "ww")),
    ("strcmp", Call("strcmp", "ww")),
    ("strcpy", Call("strcpy", "ww")),
    ("strcspn", Call("strcspn", "ww")),
    ("strdup", Call("strdup", "w")),
    ("strlen", Call("strlen", "w")),
    ("strncat", Call("strncat", "www")),
    ("strncmp", Call("strncmp", "www")),
    ("strncpy", Call("strncpy", "www")),
    ("strpbrk", Call("strpbrk", "ww")),
    ("strrchr", Call("strrchr", "ww")),
    ("strspn", Call("strspn", "ww")),
    ("strstr", Call("strstr", "ww")),
    ("tan", Call("tan", "d")),
    ("tanf", Call("tanf", "d")),
    ("tanh", Call("tanh", "d")),
    ("tolower", Call("tolower", "w")),
    ("toupper", Call("toupper", "w")),
    ("trunc", Call("trunc", "d")),
    ("truncf", Call("truncf", "d")),
];

fn native(name: &[u8]) -> Option<Native> {
    let at = NATIVES.binary_search_by_key(&name, |(name, _)| name.as_bytes()).ok()?;
    Some(NATIVES[at].1)
}

/// Makes the bridges of all graphs that need some.
pub(super) fn cross<E>(view: &View<'_, E>, gathered: &mut [Gathered<'_>]) {
    for at in 0..gathered.len() {
        let names = match gathered[at].graph.objects().iter().any(|object| object.convention == Convention::Microsoft) {
            true => unmet(view, gathered, at),
            false => continue,
        };
        let one = &mut gathered[at];
        let entries = view.part(one.key.dylib).map_or(&[][..], |part| &part.entries);
        let Some(mut bridge) = Bridge::new(&mut one.graph) else { continue };
        bridge.initializers();
        if one.key.is_own() {
            for entry in entries {
                // One that is not among this graph's functions is called as it is.
                bridge.enter(entry.as_bytes());
            }
        }
        let mut constants = Vec::new();
        for id in names {
            match native(bridge.graph().symbol(id).name) {
                Some(Nothing) => bridge.nothing(id),
                Some(Call(function, letters)) => {
                    // All of the table has room for its arguments.
                    bridge.leave(id, function.as_bytes(), &arguments(letters), &[]);
                }
                Some(AtExit) => {
                    let symbols = [bridge.call_argument(), bridge.dylib()];
                    bridge.leave(id, b"__cxa_atexit", &[Argument::Symbol, Argument::Word, Argument::Symbol], &symbols);
                }
                Some(Constant(value)) => constants.push((id, value)),
                None => {}
            }
        }
        bridge.finish();
        for (id, value) in constants {
            constant(&mut one.graph, id, value);
        }
    }
}

/// The names of a graph that nobody in reach defines, itself included.
fn unmet<E>(view: &View<'_, E>, gathered: &[Gathered<'_>], at: usize) -> Vec<SymbolId> {
    let graph = &gathered[at].graph;
    let undefined = |id: &SymbolId| {
        let symbol = graph.symbol(*id);
        symbol.definition == Definition::Undefined && native(symbol.name).is_some()
    };
    let mut names: Vec<SymbolId> = (0..graph.symbols().len()).map(SymbolId::from_index).filter(undefined).collect();
    if names.is_empty() {
        return names;
    }
    let mut defined: HashSet<&[u8]> = HashSet::new();
    for (other, one) in gathered.iter().enumerate().filter(|(other, _)| *other != at) {
        let own = gathered[other].key.dylib == gathered[at].key.dylib;
        let symbols = one.graph.symbols().iter().filter(|symbol| symbol.is_exported() || (own && symbol.is_defined()));
        defined.extend(symbols.map(|symbol| symbol.name).filter(|name| native(name).is_some()));
    }
    names.retain(|id| {
        let name = graph.symbol(*id).name;
        let known = |dylib| view.part(dylib).is_some_and(|part| part.exported(name).is_some());
        !defined.contains(name) && !view.reached.iter().any(|dylib| known(*dylib))
    });
    names
}

fn arguments(letters: &str) -> Vec<Argument> {
    let argument = |letter| match letter {
        'd' => Argument::Double,
        '.' => Argument::Rest,
        _ => Argument::Word,
    };
    letters.chars().map(argument).collect()
}

fn constant(graph: &mut LinkGraph<'_>, id: SymbolId, value: u64) {
    let symbol = graph.symbol(id);
    let offered = GlobalDefinition {
        definition: Definition::Absolute,
        value,
        size: 0,
        linkage: Linkage::Weak,
        scope: Scope::Hidden,
        kind: SymbolKind::Object,
        object: symbol.object,
    };
    let name = symbol.name;
    // Nobody defines it, so that it clashes with nothing.
    let _ = graph.define(name, offered);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_found() {
        assert!(NATIVES.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(matches!(native(b"puts"), Some(Call("puts", "w"))));
        assert!(native(b"qsort").is_none(), "it calls a function of its caller's");
    }

    #[test]
    fn letters_are_arguments() {
        assert_eq!(arguments("wd."), [Argument::Word, Argument::Double, Argument::Rest]);
        for (name, native) in NATIVES {
            let Call(_, letters) = native else { continue };
            let words = letters.chars().filter(|letter| *letter != 'd').count();
            assert!(words <= 6 && !letters[..letters.len().saturating_sub(1)].contains('.'), "{name}");
        }
    }
}
