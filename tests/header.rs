//! The committed header is the one that the source gives.
#![allow(clippy::disallowed_methods)] // Whether to write or to compare is said in the environment.

use std::path::Path;

#[test]
fn header_is_what_the_source_gives() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    config.header = config.header.map(|header| header.trim().to_owned());
    let mut generated = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(root.join("src/ffi/types.rs"))
        .with_src(root.join("src/ffi/realtime.rs"))
        .with_src(root.join("src/ffi/calls.rs"))
        .generate()
        .unwrap()
        .write(&mut generated);
    let generated = arranged(&String::from_utf8(generated).unwrap());
    let committed = root.join("include/ptpbmca.h");
    if std::env::var_os("PTPBMCA_WRITE_HEADER").is_some() {
        std::fs::write(&committed, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(committed == generated, "include/ptpbmca.h is stale: run `make header` and commit it");
}

/// Puts the constants before the types, where a reader looks for them, and drops the lines `# Safety`.
fn arranged(header: &str) -> String {
    let lines: Vec<&str> = header
        .lines()
        .filter(|line| line.trim_start().trim_start_matches('*').trim() != "# Safety")
        .collect();
    let is_constant = |line: &&str| line.starts_with("#define PTPBMCA_") && line.split(' ').count() > 2;
    let first = lines.iter().position(is_constant).unwrap();
    let last = lines.iter().rposition(is_constant).unwrap();
    let start = lines[..first].iter().rposition(|line| *line == "/**").unwrap();
    let types = lines.iter().position(|line| *line == "#include <stdint.h>").unwrap() + 1;
    assert!(types < start, "the constants stand where they are looked for: nothing to arrange any more");
    let mut out = lines[..types].to_vec();
    out.push("");
    out.extend(&lines[start..=last]);
    out.extend(&lines[types..start]);
    out.extend(&lines[last + 1..]);
    out.join("\n") + "\n"
}
