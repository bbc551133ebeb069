//! `orc --generate`: the manual page and completions, made from the definition of the command line itself.

use super::args::{Cli, Generate};
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::io::{self, Write};

/// Writes `what` to `out`.
pub(crate) fn generate(what: Generate, out: &mut impl Write) -> io::Result<()> {
    let shell = match what {
        Generate::Man => return man(out),
        Generate::CompleteBash => Shell::Bash,
        Generate::CompleteZsh => Shell::Zsh,
        Generate::CompleteFish => Shell::Fish,
        Generate::CompleteElvish => Shell::Elvish,
        Generate::CompletePowershell => Shell::PowerShell,
    };
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, out);
    Ok(())
}

/// One page: the command, then each subcommand with its options.
fn man(out: &mut impl Write) -> io::Result<()> {
    let mut command = Cli::command();
    command.build();
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let mut part = Vec::new();
        let page = clap_mangen::Man::new(subcommand.clone());
        page.render_synopsis_section(&mut part)?;
        page.render_description_section(&mut part)?;
        if subcommand.get_arguments().any(|argument| !argument.is_hide_set()) {
            page.render_options_section(&mut part)?;
        }
        page.render_extra_section(&mut part)?;
        writeln!(out, ".SH \"ORC {}\"", subcommand.get_name().to_uppercase())?;
        // Sections of a part are subsections of the page; the preamble has been written.
        let part = String::from_utf8_lossy(&part).replace("\n.SH ", "\n.SS ");
        let part = part.strip_prefix(".SH ").map_or(part.clone(), |rest| format!(".SS {rest}"));
        out.write_all(part.as_bytes())?;
    }
    page.render_extra_section(out)?;
    page.render_version_section(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(what: Generate) -> String {
        let mut out = Vec::new();
        generate(what, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_manual_has_every_subcommand_with_its_options() {
        let page = text(Generate::Man);
        assert_eq!(page.matches(".TH ").count(), 1);
        for part in
            [".SH \"ORC RUN\"", ".SH \"ORC INSPECT\"", ".SH \"ORC DEMO\"", "\\-\\-whole\\-archive", "\\-\\-linked"]
        {
            assert!(page.contains(part), "{part} is missing in:\n{page}");
        }
    }

    #[test]
    fn completions_know_the_options() {
        for what in [Generate::CompleteBash, Generate::CompleteZsh, Generate::CompleteFish] {
            let script = text(what);
            assert!(script.contains("whole-archive") && script.contains("inspect"), "{what:?}");
        }
    }
}
