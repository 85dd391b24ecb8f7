//! Completions and the man page, from the command line's own description.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::arguments::Arguments;

/// The shells whose completions are kept in the repository, with the names that the shells look for.
const KEPT: [(Shell, &str); 3] =
    [(Shell::Bash, "ptpbmca"), (Shell::Zsh, "_ptpbmca"), (Shell::Fish, "ptpbmca.fish")];

/// Writes the completions for a shell to standard output.
pub fn print_completions(shell: Shell) -> ExitCode {
    // Nobody to read them is no failure.
    let _ = io::stdout().write_all(&completions(shell));
    ExitCode::SUCCESS
}

/// Writes all of it to a directory.
pub fn main(directory: &Path) -> ExitCode {
    match write(directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("ptpbmca generate: {}: {e}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &Path) -> io::Result<()> {
    let (man, shells) = (directory.join("man"), directory.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&shells)?;
    fs::write(man.join("ptpbmca.1"), man_page()?)?;
    KEPT.into_iter().try_for_each(|(shell, name)| fs::write(shells.join(name), completions(shell)))
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut bytes = Vec::new();
    let shown = Arguments::command().mut_subcommand("simulate", |simulate| simulate.args(simulate_options()));
    // What is hidden is not offered.
    let mut command = without_hidden(shown);
    clap_complete::generate(shell, &mut command, "ptpbmca", &mut bytes);
    bytes
}

/// Clap only hides a command from its help. The version is never printed: it makes --version an option.
fn without_hidden(command: Command) -> Command {
    let mut visible =
        Command::new("ptpbmca").about(command.get_about().cloned().unwrap_or_default()).version("0");
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        visible = visible.subcommand(subcommand.clone());
    }
    visible
}

/// The options that the simulation's usage names. One has a value where a word in capitals follows it.
fn simulate_options() -> Vec<Arg> {
    let words: Vec<&'static str> = ptpbmca_sim::program::USAGE.split_whitespace().collect();
    let mut options: Vec<Arg> = Vec::new();
    for pair in words.windows(2) {
        let [word, next] = pair else { continue };
        let Some(name) = word.strip_prefix("--").map(|name| name.trim_end_matches([',', ';', '.', ':']))
        else {
            continue;
        };
        if options.iter().any(|option| option.get_id() == name) {
            continue;
        }
        let valued = next.chars().next().is_some_and(|first| first.is_ascii_uppercase())
            && next.chars().all(|c| c.is_ascii_uppercase() || !c.is_alphanumeric());
        let action = if valued { ArgAction::Set } else { ArgAction::SetTrue };
        options.push(Arg::new(name).long(name).action(action));
    }
    options
}

/// One page: the program, then a section for each command.
fn man_page() -> io::Result<Vec<u8>> {
    let command = Arguments::command();
    let mut page = Vec::new();
    let top = Man::new(command.clone());
    top.render_title(&mut page)?;
    top.render_name_section(&mut page)?;
    top.render_synopsis_section(&mut page)?;
    top.render_description_section(&mut page)?;
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        let title = format!("{} {}", command.get_name(), subcommand.get_name());
        // The name as it is typed.
        let man = Man::new(subcommand.clone().display_name(title.clone()).bin_name(title.clone()));
        let mut section = Vec::new();
        man.render_synopsis_section(&mut section)?;
        man.render_description_section(&mut section)?;
        man.render_options_section(&mut section)?;
        writeln!(page, ".SH \"{}\"", title.to_uppercase())?;
        for line in lines(section)? {
            let name = line.strip_prefix(".SH ").map(|name| format!(".SS {name}"));
            writeln!(page, "{}", name.unwrap_or(line))?;
        }
        let mut details = Vec::new();
        man.render_extra_section(&mut details)?;
        let text = lines(details)?.split_off(1);
        if !text.is_empty() {
            writeln!(page, ".SS DETAILS")?;
            // Columns are to stay columns, and sentences are to fill the page.
            for block in text.split(String::is_empty) {
                let (before, after) = if block.len() > 1 { (".PP\n.nf\n", "\n.fi") } else { (".PP\n", "") };
                writeln!(page, "{before}{}{after}", block.join("\n"))?;
            }
        }
    }
    writeln!(page, ".SH \"SEE ALSO\"\nptp4l(8), setcap(8), capabilities(7)")?;
    Ok(page)
}

/// The lines of a rendered section, without the definitions that each of them begins with.
fn lines(section: Vec<u8>) -> io::Result<Vec<String>> {
    let section = String::from_utf8(section).map_err(io::Error::other)?;
    let lines = section.lines().filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el "));
    Ok(lines.map(str::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulation_s_options_are_offered() {
        let options = simulate_options();
        let find = |name: &str| options.iter().find(|option| option.get_id() == name);
        let takes_a_value = |name: &str| find(name).map(|option| option.get_action().takes_values());
        assert_eq!(takes_a_value("address"), Some(true));
        assert_eq!(takes_a_value("never-sync"), Some(false));
        assert_eq!(takes_a_value("jitter-ms"), Some(true));
        assert_eq!(takes_a_value("generate"), None);
    }

    #[test]
    fn hidden_commands_are_not_offered() {
        let bash = String::from_utf8(completions(Shell::Bash)).unwrap();
        assert!(bash.contains("doctor") && bash.contains("--ports") && bash.contains("--never-announce"));
        assert!(!bash.contains("generate"));
    }
}
