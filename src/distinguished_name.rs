//! Distinguished names: subjects of certificates, as text in a configuration and as a certificate has them.
//!
//! Called by `config` for users that certificates name, and by `broker::auth` to find the user of a
//! certificate. The text is that of RFC 4514: `CN=bob,OU=eng,O=Acme,C=DE`.
//!
//! # Always true
//! - Two names are the same if they have the same parts, in whatever order and spacing. Every part counts:
//!   a name that lacks one is another name.

/// A part of a name: the attributes that belong together, usually one, each with its kind and its value.
type Part = Vec<(String, String)>;

/// A distinguished name, in an order that does not depend on how the name was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistinguishedName {
    parts: Vec<Part>,
}

/// Kinds of attributes, each with its number and the names that tools write for it.
const KINDS: &[(&str, &[&str])] = &[
    ("2.5.4.3", &["cn", "commonname"]),
    ("2.5.4.4", &["sn", "surname"]),
    ("2.5.4.5", &["serialnumber"]),
    ("2.5.4.6", &["c", "countryname"]),
    ("2.5.4.7", &["l", "localityname"]),
    ("2.5.4.8", &["st", "s", "stateorprovincename"]),
    ("2.5.4.9", &["street", "streetaddress"]),
    ("2.5.4.10", &["o", "organizationname"]),
    ("2.5.4.11", &["ou", "organizationalunitname"]),
    ("2.5.4.12", &["title", "t"]),
    ("2.5.4.17", &["postalcode"]),
    ("2.5.4.42", &["gn", "givenname"]),
    ("2.5.4.97", &["organizationidentifier"]),
    ("0.9.2342.19200300.100.1.1", &["uid", "userid"]),
    (DOMAIN, &["dc", "domaincomponent"]),
    ("1.2.840.113549.1.9.1", &["emailaddress", "e", "email"]),
];

/// A component of a domain, `DC`.
const DOMAIN: &str = "0.9.2342.19200300.100.1.25";

/// The kinds that Go has fields for; its text of a subject has no others.
const KINDS_OF_GO: &[&str] = &[
    "2.5.4.3", "2.5.4.5", "2.5.4.6", "2.5.4.7", "2.5.4.8", "2.5.4.9", "2.5.4.10", "2.5.4.11",
    "2.5.4.17",
];

impl DistinguishedName {
    /// Parses the text of a name; `None` if the text is something else.
    ///
    /// ```
    /// use blipmq::distinguished_name::DistinguishedName;
    ///
    /// let name = |text| DistinguishedName::parse(text).unwrap();
    /// assert_eq!(name("CN=bob,O=Acme"), name("o=Acme, cn=bob"));
    /// assert_ne!(name("CN=bob,O=Acme"), name("CN=bob"));
    /// assert_eq!(DistinguishedName::parse("bob@example.com"), None);
    /// ```
    pub fn parse(text: &str) -> Option<DistinguishedName> {
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (part, after) = parse_part(rest)?;
            parts.push(part);
            match after {
                Some(after) => rest = after,
                None => return Some(DistinguishedName::new(parts)),
            }
        }
    }

    fn new(mut parts: Vec<Part>) -> DistinguishedName {
        parts.iter_mut().for_each(|part| part.sort());
        parts.sort();
        DistinguishedName { parts }
    }

    /// The name as Go prints it, where `domain` says whether its domain components are in it. Go groups
    /// attributes of one kind to one part, and leaves out kinds that it has no field for. `None` if that
    /// leaves nothing.
    pub fn as_go_prints(&self, domain: bool) -> Option<DistinguishedName> {
        let mut parts: Vec<Part> = Vec::new();
        for (kind, value) in self.parts.iter().flatten() {
            let attribute = (kind.clone(), value.clone());
            if kind == DOMAIN {
                if domain {
                    parts.push(vec![attribute]);
                }
            } else if KINDS_OF_GO.contains(&kind.as_str()) {
                match parts.iter_mut().find(|part| part[0].0 == *kind) {
                    Some(part) => part.push(attribute),
                    None => parts.push(vec![attribute]),
                }
            }
        }
        (!parts.is_empty()).then(|| DistinguishedName::new(parts))
    }
}

/// Parses attributes up to a comma. Returns also the text behind the comma, if there is one.
fn parse_part(text: &str) -> Option<(Part, Option<&str>)> {
    let mut part = Part::new();
    let mut rest = text;
    loop {
        let (kind, after) = rest.split_once('=')?;
        let mut kind = parse_kind(kind.trim())?;
        // Bytes that are no text: a text that looks like them is another value.
        if after.trim_start_matches(' ').starts_with('#') {
            kind.push('#');
        }
        let (value, end) = parse_value(after)?;
        part.push((kind, value));
        match end.chars().next() {
            None => return Some((part, None)),
            Some('+') => rest = &end[1..],
            Some(_) => return Some((part, Some(&end[1..]))),
        }
    }
}

/// The number of a kind that is written as a number or a name. A name that is not known stays itself.
fn parse_kind(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let text = text.strip_prefix("oid.").unwrap_or(&text);
    let is_name = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let mut numbers = text.split('.');
    let is_number = text.contains('.')
        && numbers.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let known = KINDS.iter().find(|(_, names)| names.contains(&text));
    match known {
        Some((number, _)) => Some((*number).to_owned()),
        None => (is_name || is_number).then(|| text.to_owned()),
    }
}

/// Parses a value, and returns the text from the separator behind it.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start_matches(' ');
    let mut value = Vec::new();
    // Spaces at the end that no backslash protects are no part of the value.
    let mut end_of_value = 0;
    let mut bytes = text.bytes().enumerate();
    let mut rest = "";
    let is_quoted = text.starts_with('"');
    if is_quoted {
        bytes.next();
    }
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => {
                let (_, first) = bytes.next()?;
                let hex = |byte: u8| char::from(byte).to_digit(16);
                match hex(first) {
                    Some(high) => {
                        let (_, low) = bytes.next()?;
                        value.push((high * 16 + hex(low)?) as u8);
                    }
                    None => value.push(first),
                }
                end_of_value = value.len();
            }
            b'"' if is_quoted => {
                let after = text[at + 1..].trim_start_matches(' ');
                if !after.is_empty() && !after.starts_with([',', '+', ';']) {
                    return None;
                }
                return Some((String::from_utf8(value).ok()?, after));
            }
            b',' | b'+' | b';' if !is_quoted => {
                rest = &text[at..];
                break;
            }
            b'"' | b'<' | b'>' if !is_quoted => return None,
            _ => {
                value.push(byte);
                if byte != b' ' {
                    end_of_value = value.len();
                }
            }
        }
    }
    if is_quoted {
        return None;
    }
    value.truncate(end_of_value);
    Some((String::from_utf8(value).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DistinguishedName {
        DistinguishedName::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn order_spacing_and_the_way_kinds_are_written_do_not_matter() {
        let expected = name("CN=bob,OU=eng,O=Acme,C=DE");
        for same in [
            "C=DE,O=Acme,OU=eng,CN=bob",
            "O=Acme,CN=bob,OU=eng,C=DE",
            "CN=bob, OU=eng, O=Acme, C=DE",
            "  cn = bob ;ou=eng ,O=Acme,c=DE  ",
            "2.5.4.3=bob,OID.2.5.4.11=eng,organizationName=Acme,C=DE",
            "CN=\"bob\",OU=eng,O=Acme,C=DE",
            "CN=\\62ob,OU=eng,O=Acme,C=DE",
        ] {
            assert_eq!(name(same), expected, "{same}");
        }
    }

    #[test]
    fn a_name_with_other_parts_is_another_name() {
        let expected = name("CN=bob,OU=eng,O=Acme,C=DE");
        for other in [
            "CN=bob",
            "CN=bob,OU=eng,O=Acme",
            "CN=bob,OU=eng,O=Acme,C=DE,C=DE",
            "CN=bob,OU=eng,O=acme,C=DE",
            "CN=Bob,OU=eng,O=Acme,C=DE",
            "CN=bob+OU=eng,O=Acme,C=DE",
            "SN=bob,OU=eng,O=Acme,C=DE",
            "CN=bob\\ ,OU=eng,O=Acme,C=DE",
            "CN=bob\\,OU=eng,O=Acme,C=DE",
        ] {
            assert_ne!(name(other), expected, "{other}");
        }
        assert_ne!(name("CN=#0c"), name("CN=\\#0c"));
        assert_ne!(name("OU=a,OU=b"), name("OU=a+OU=b"));
        assert_eq!(name("OU=a+CN=b"), name("CN=b+OU=a"));
    }

    #[test]
    fn separators_and_spaces_in_values_are_protected() {
        for (text, same) in [
            ("CN=a\\,b", "CN=\"a,b\""),
            ("CN=a\\+b\\=c", "CN=\"a+b=c\""),
            ("CN=\\ a\\ ", "CN=\" a \""),
            ("CN=\\C3\\A4", "CN=ä"),
            ("CN=", "CN=\"\""),
            ("CN=a=b", "CN=\"a=b\""),
            ("CN=\\#0c", "CN=\"#0c\""),
        ] {
            assert_eq!(name(text), name(same), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_name_is_none() {
        for text in [
            "",
            "bob",
            "bob@example.com",
            "spiffe://example.com/app?a=b",
            "CN=a,",
            "CN=a,bob",
            "=a",
            "CN=\"a",
            "CN=\"a\"b",
            "CN=a\\",
            "CN=a\\4",
            "CN=\\ff",
            "CN=<a>",
            "1.=a",
            "+=a",
        ] {
            assert_eq!(DistinguishedName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_go_prints_groups_kinds_and_leaves_out_those_it_does_not_know() {
        let subject = name("CN=bob,OU=b,OU=a,emailAddress=x@y,UID=7,DC=example,DC=com");
        assert_eq!(subject.as_go_prints(false), Some(name("CN=bob,OU=a+OU=b")));
        assert_eq!(subject.as_go_prints(true), Some(name("CN=bob,OU=a+OU=b,DC=example,DC=com")));
        assert_eq!(name("UID=7").as_go_prints(true), None);
        assert_eq!(name("DC=com").as_go_prints(false), None);
    }
}
