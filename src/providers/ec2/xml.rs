//! XML as EC2 and STS answer with, and not a bit more: no document type, no
//! entities of its own, bounded in depth and elements. The bytes are bounded by
//! the HTTP client.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use crate::model::Label;

const MAX_DEPTH: usize = 32;
/// A page of 1,000 instances has about 150,000.
const MAX_ELEMENTS: usize = 1_000_000;

/// An element with its text and its elements; attributes and name spaces are
/// left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    name: Box<str>,
    text: String,
    inside: Vec<Element>,
}

#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("it is not XML in UTF-8")]
    Encoding,
    /// Tamed, as it repeats parts of the document.
    #[error("it is not well-formed XML: {0}")]
    Syntax(Label),
    #[error("it ends before its root does")]
    Cut,
    #[error(
        "it has something that answers do not have (a document type, an entity or a second root)"
    )]
    Foreign,
    #[error("it has more than {MAX_ELEMENTS} elements, or more than {MAX_DEPTH} levels")]
    Large,
}

impl Element {
    pub(super) fn parse(document: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(document).map_err(|_| Malformed::Encoding)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Self> = Vec::new();
        let mut root = None;
        let mut elements = 0;
        loop {
            let event = reader.read_event().map_err(syntax)?;
            match event {
                Event::Start(tag) | Event::Empty(tag) if root.is_some() => {
                    drop(tag);
                    return Err(Malformed::Foreign);
                }
                Event::Start(tag) => {
                    elements += 1;
                    if elements > MAX_ELEMENTS || open.len() >= MAX_DEPTH {
                        return Err(Malformed::Large);
                    }
                    open.push(Self { name: tag.local_name().as_ref().into(), ..Self::default() });
                }
                Event::Empty(tag) => {
                    elements += 1;
                    if elements > MAX_ELEMENTS || open.len() >= MAX_DEPTH {
                        return Err(Malformed::Large);
                    }
                    let done = Self { name: tag.local_name().as_ref().into(), ..Self::default() };
                    close(done, &mut open, &mut root);
                }
                Event::End(_) => {
                    let done = open.pop().ok_or(Malformed::Foreign)?;
                    close(done, &mut open, &mut root);
                }
                Event::Text(said) => add(&mut open, &said.xml10_content())?,
                Event::CData(said) => add(&mut open, &said.xml10_content())?,
                Event::GeneralRef(name) => {
                    let mut buffer = [0; 4];
                    add(&mut open, character(&name)?.encode_utf8(&mut buffer))?;
                }
                Event::Comment(_) | Event::Decl(_) => (),
                Event::DocType(_) | Event::PI(_) => return Err(Malformed::Foreign),
                Event::Eof => break,
            }
        }
        if open.is_empty() { root.ok_or(Malformed::Cut) } else { Err(Malformed::Cut) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }

    /// The first of its elements that has this name.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.inside.iter().find(|element| &*element.name == name)
    }

    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |element, name| element.get(name))
    }

    /// The text at a path, unless there is none.
    pub(super) fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path).map(Self::text).filter(|text| !text.is_empty())
    }

    /// The `item`s of a set, or of an array in the manner of STS (`member`).
    pub(super) fn items(&self, set: &str) -> impl Iterator<Item = &Self> {
        let inside = self.get(set).map_or(&[][..], |set| &set.inside);
        inside.iter().filter(|element| matches!(&*element.name, "item" | "member"))
    }

    /// The first element of this name at any depth.
    pub(super) fn find(&self, name: &str) -> Option<&Self> {
        let mut open = vec![self];
        while let Some(element) = open.pop() {
            if &*element.name == name {
                return Some(element);
            }
            open.extend(element.inside.iter().rev());
        }
        None
    }
}

fn syntax(fault: quick_xml::Error) -> Malformed {
    Malformed::Syntax(Label::tame(&fault.to_string()))
}

fn close(done: Element, open: &mut [Element], root: &mut Option<Element>) {
    match open.last_mut() {
        Some(parent) => parent.inside.push(done),
        None => *root = Some(done),
    }
}

fn add(open: &mut [Element], said: &str) -> Result<(), Malformed> {
    match open.last_mut() {
        Some(element) => {
            // Text between elements is layout.
            if !said.trim().is_empty() || !element.text.is_empty() {
                element.text.push_str(said);
            }
            Ok(())
        }
        None if said.trim().is_empty() => Ok(()),
        None => Err(Malformed::Foreign),
    }
}

fn character(name: &BytesRef<'_>) -> Result<char, Malformed> {
    if let Some(character) = name.resolve_char_ref().map_err(syntax)? {
        return Ok(character);
    }
    match &*name.xml10_content() {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => Err(Malformed::Foreign),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Element, Malformed> {
        Element::parse(text.as_bytes())
    }

    #[test]
    fn what_is_read() {
        let root = parse(
            "\u{feff}<?xml version=\"1.0\"?>\n<a xmlns='x'> <n:b>1 &lt;&#x41;<![CDATA[<&]]></n:b>\n<set><item>x</item><other/><item/></set><!-- c --></a>\n",
        )
        .unwrap();
        assert_eq!(root.name(), "a");
        assert_eq!(root.text_at(&["b"]), Some("1 <A<&"));
        assert_eq!(root.items("set").map(Element::text).collect::<Vec<_>>(), ["x", ""]);
        assert_eq!(root.items("none").count(), 0);
        assert_eq!(root.find("item").map(Element::text), Some("x"));
        assert_eq!(root.find("none"), None);
    }

    #[test]
    fn what_is_refused() {
        for bad in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>text",
            "</a>",
            "<a>&bomb;</a>",
            "<a>&#0;</a>",
            "<a>&#x110000;</a>",
            "<!DOCTYPE a [<!ENTITY b 'bbbb'>]><a>&b;</a>",
            "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
            "<?php x?><a/>",
            "<html><body><p>unclosed</body></html>",
            "{\"json\": true}",
        ] {
            assert!(parse(bad).is_err(), "{bad:?} was read: {:?}", parse(bad));
        }
        assert!(Element::parse(b"<a>\xff</a>").is_err());
    }

    /// A terminal would obey them.
    #[test]
    fn a_fault_repeats_no_control_characters() {
        let fault = parse("<a></\u{1b}]0;x\u{7}a>").unwrap_err().to_string();
        assert!(fault.contains("not well-formed"), "{fault}");
        assert!(!fault.chars().any(char::is_control), "{fault:?}");
    }

    #[test]
    fn neither_depth_nor_number_is_without_end() {
        let deep = "<a>".repeat(100_000);
        assert!(matches!(parse(&deep), Err(Malformed::Large)));
        let wide = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
        assert!(matches!(parse(&wide), Err(Malformed::Large)));
    }
}
