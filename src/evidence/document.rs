//! A document of headings, paragraphs and tables, written as Markdown and as HTML.

use std::fmt::Write as _;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use crate::report::escape::{html, markdown_cell};
use crate::report::page_style;

/// Part of a document. All texts are plain: each format escapes them.
#[derive(Debug)]
enum Block {
    Heading(String),
    Paragraph(String),
    Table { head: Vec<&'static str>, rows: Vec<Vec<String>> },
}

#[derive(Debug)]
pub(super) struct Document {
    title: String,
    blocks: Vec<Block>,
}

impl Document {
    pub(super) fn new(title: &str) -> Self {
        Self { title: title.to_owned(), blocks: Vec::new() }
    }

    pub(super) fn heading(&mut self, text: &str) {
        self.blocks.push(Block::Heading(text.to_owned()));
    }

    pub(super) fn paragraph(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Paragraph(text.into()));
    }

    pub(super) fn table(&mut self, head: &[&'static str], rows: Vec<Vec<String>>) {
        self.blocks.push(Block::Table { head: head.to_vec(), rows });
    }

    pub(super) fn markdown(&self) -> String {
        let mut out = format!("# {}\n", markdown_cell(&self.title));
        for block in &self.blocks {
            match block {
                Block::Heading(text) => writeln!(out, "\n## {}", markdown_cell(text)).expect("memory"),
                Block::Paragraph(text) => writeln!(out, "\n{}", markdown_cell(text)).expect("memory"),
                Block::Table { head, rows } => {
                    let _ = writeln!(out, "\n| {} |\n|{}", head.join(" | "), " --- |".repeat(head.len()));
                    for row in rows {
                        let cells: Vec<String> = row.iter().map(|cell| markdown_cell(cell)).collect();
                        let _ = writeln!(out, "| {} |", cells.join(" | "));
                    }
                }
            }
        }
        out
    }

    pub(super) fn html(&self) -> String {
        let style = page_style();
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{}'; \
             base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <style>{style}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n",
            BASE64.encode(&Sha256::digest(style)),
            title = html(&self.title),
        );
        for block in &self.blocks {
            match block {
                Block::Heading(text) => writeln!(out, "<h2>{}</h2>", html(text)).expect("memory"),
                Block::Paragraph(text) => writeln!(out, "<p>{}</p>", html(text)).expect("memory"),
                Block::Table { head, rows } => {
                    out.push_str("<div class=\"scroll\" tabindex=\"0\">\n<table class=\"small\"><thead><tr>");
                    head.iter().for_each(|name| write!(out, "<th scope=\"col\">{name}</th>").expect("memory"));
                    out.push_str("</tr></thead><tbody>\n");
                    for row in rows {
                        let cells: Vec<String> = row.iter().map(|cell| format!("<td>{}</td>", html(cell))).collect();
                        let _ = writeln!(out, "<tr>{}</tr>", cells.concat());
                    }
                    out.push_str("</tbody></table>\n</div>\n");
                }
            }
        }
        out.push_str("</main>\n</body>\n</html>\n");
        out
    }
}
