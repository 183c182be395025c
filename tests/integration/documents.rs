//! Tables of the documentation, which are made from the code: `UPDATE_DOCUMENTS=1` writes them.

use std::path::{Path, PathBuf};

use blabbermouth_core::shape::CATALOG;
use blabbermouth_provider::{Dialect, Jobs, Profile};

/// Puts a table between its marks, and fails if it differs from what is there.
fn check(file: &str, mark: &str, table: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(&path).expect("a document");
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
    let (head, rest) = text.split_once(&begin).expect("a mark");
    let (there, tail) = rest.split_once(&end).expect("its end");
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        std::fs::write(&path, format!("{head}{begin}{table}{end}{tail}")).expect("written");
    } else {
        assert_eq!(there, table, "{file}: run this test with UPDATE_DOCUMENTS=1");
    }
}

#[test]
fn the_table_of_shapes_is_that_of_the_code() {
    let mut table = "| rows of | as in |\n| --- | --- |\n".to_owned();
    for (name, row) in CATALOG {
        table += &format!("| {name} | `{}` |\n", row.replace('|', "\\|"));
    }
    check("docs/rows.md", "shapes", &table);
}

#[test]
fn the_table_of_services_is_that_of_the_code() {
    let mut table = "| `kind` | address | key in | `tune` | scores |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for name in Profile::names() {
        let profile = Profile::load(&name, Path::new("")).expect("built in");
        let tunes = match (profile.dialect, profile.jobs) {
            (Dialect::OpenAi, Jobs::None) => "",
            (Dialect::OpenAi | Dialect::Embedded, _) => "yes",
            _ => "",
        };
        let or_none = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
        table += &format!(
            "| `{name}` | {} | {} | {tunes} | {} |\n",
            or_none(&profile.base_url),
            or_none(&profile.key_variable),
            if profile.scores { "yes" } else { "" }
        );
    }
    check("docs/services.md", "services", &table);
}
