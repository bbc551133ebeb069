//! Which library of the toolchain a well-known name belongs to. Only a hint: nothing is linked because of it.

/// What would bring `name`, as advice to the user.
pub(super) fn advice(name: &str) -> Option<&'static str> {
    if is_math(name) {
        return Some("it is a function of the math library: pass -lm");
    }
    if is_of_rust(name) {
        return Some(RUST);
    }
    let rule = RULES.iter().find(|(prefixes, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)));
    if let Some((_, advice)) = rule {
        return Some(advice);
    }
    let integer = ["ti3", "ti4", "ti2", "tf3", "tf2", "tfsi", "tfdi", "sitf", "ditf", "xc3", "dc3"];
    (name.starts_with("__") && integer.iter().any(|suffix| name.ends_with(suffix)))
        .then_some("it is arithmetic that the compiler leaves to its library: pass -lgcc")
}

const RUST: &str = "it is part of the Rust libraries: add those of the rustc that compiled it, `$(rustc --print target-libdir)/lib*.rlib`";

/// Whether a mangled name (v0) speaks of Rust's own crates.
fn is_of_rust(name: &str) -> bool {
    if !name.starts_with("_R") {
        return false;
    }
    let crates = ["std::", "core::", "alloc::", "__rustc::", "hashbrown::"];
    rustc_demangle::try_demangle(name).is_ok_and(|name| {
        let words = format!("{name:#}");
        crates.iter().any(|one| words.contains(one))
    })
}

type Rule = (&'static [&'static str], &'static str);

const RULES: &[Rule] = &[
    (
        &["_tls_index", "_Init_thread_", "_tls_used"],
        "thread-local variables as Windows has them need its thread environment block (%gs), which is not here: compile without them, or with \
         -fno-threadsafe-statics if a function's static variable is one",
    ),
    (
        &[
            "_CxxThrowException",
            "__CxxFrameHandler",
            "__C_specific_handler",
            "_GCC_specific_handler",
            "__GSHandlerCheck",
            "_Unwind_RaiseException",
            "__gxx_personality_seh0",
        ],
        "structured exceptions of Windows are not run here: compile without __try, and with -fno-exceptions -fno-stack-protector (/GS-)",
    ),
    (
        // Operators new and delete, namespace std and __gnu_cxx and __cxxabiv1 with their vtables and type information.
        &[
            "_Znw",
            "_Zna",
            "_Zdl",
            "_Zda",
            "_ZNSt",
            "_ZNKSt",
            "_ZSt",
            "_ZNSo",
            "_ZNSi",
            "_ZNSs",
            "_ZNKSs",
            "_ZTVSt",
            "_ZTISt",
            "_ZTSSt",
            "_ZTVNSt",
            "_ZTINSt",
            "_ZTVN10__cxxabiv1",
            "_ZN9__gnu_cxx",
            "__cxa_",
            "__gxx_personality",
            "__dynamic_cast",
        ],
        "it is part of the C++ library: pass -lstdc++",
    ),
    (&["_Unwind_"], "it is part of the unwinder: pass -lgcc_s"),
    (
        &["__asan_", "__tsan_", "__msan_", "__ubsan_", "__hwasan_", "__lsan_"],
        "the object was compiled with -fsanitize: compile it without",
    ),
    (&["__gcov_", "__llvm_profile_", "__sanitizer_cov_"], "the object was compiled for coverage: compile it without"),
    (
        &["__rust_alloc", "__rust_dealloc", "__rust_realloc", "__rdl_", "__rg_", "_ZN3std", "_ZN4core", "_ZN5alloc"],
        RUST,
    ),
    (&["GOMP_", "omp_"], "it is part of the OpenMP runtime: pass -lgomp"),
    (&["__atomic_"], "it is an atomic operation too large for the machine: pass -latomic"),
    (&["_gfortran_"], "it is part of the Fortran library: pass -lgfortran"),
    (&["__quadmath", "quadmath_"], "it is part of the quad precision library: pass -lquadmath"),
];

/// ISO C `<math.h>` and `<complex.h>`, for double; `f` and `l` at the end are the other types.
fn is_math(name: &str) -> bool {
    const MATH: &[&str] = &[
        "acos",
        "acosh",
        "asin",
        "asinh",
        "atan",
        "atan2",
        "atanh",
        "cabs",
        "carg",
        "cbrt",
        "ccos",
        "ceil",
        "cexp",
        "clog",
        "cos",
        "cosh",
        "cpow",
        "csin",
        "csqrt",
        "erf",
        "erfc",
        "exp",
        "exp10",
        "exp2",
        "expm1",
        "fabs",
        "fdim",
        "floor",
        "fma",
        "fmax",
        "fmin",
        "fmod",
        "hypot",
        "ilogb",
        "j0",
        "j1",
        "jn",
        "lgamma",
        "llrint",
        "llround",
        "log",
        "log10",
        "log1p",
        "log2",
        "logb",
        "lrint",
        "lround",
        "nan",
        "nearbyint",
        "nextafter",
        "nexttoward",
        "pow",
        "remainder",
        "remquo",
        "rint",
        "round",
        "roundeven",
        "scalbln",
        "sin",
        "sincos",
        "sinh",
        "sqrt",
        "tan",
        "tanh",
        "tgamma",
        "trunc",
        "y0",
        "y1",
        "yn",
    ];
    let known = |name: &str| MATH.binary_search(&name).is_ok();
    known(name) || name.strip_suffix(['f', 'l']).is_some_and(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_names_have_their_library() {
        let check = |name, part: &str| {
            assert!(advice(name).is_some_and(|advice| advice.contains(part)), "{name}: {:?}", advice(name));
        };
        for name in ["sin", "sqrtf", "powl", "lround", "acos", "yn"] {
            check(name, "-lm");
        }
        check("_ZNSt6thread4joinEv", "-lstdc++");
        check("__cxa_throw", "-lstdc++");
        check("_ZTVN10__cxxabiv120__si_class_type_infoE", "-lstdc++");
        check("_Unwind_Resume", "-lgcc_s");
        check("__udivti3", "-lgcc");
        check("__asan_report_load8", "-fsanitize");
        check("__rust_alloc", "rlib");
        check("_RNvNtCsjrHSEGnQ3l9_3std2rt19lang_start_internal", "rlib");
        check("_RNvCsfLfy6EI15iL_7___rustc12___rust_alloc", "rlib");
        for name in ["compute", "main", "_Z7computei", "f", "l", "sinful", "__mine", "_RNvCs1234_7mycrate4main"] {
            assert_eq!(advice(name), None, "{name}");
        }
    }
}
