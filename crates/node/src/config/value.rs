//! Values as people write them outside of the file: in a variable of the
//! environment, on a command line.

use toml::Value;
use toml::de::Error;

/// The value that `text` stands for, and what `accept` makes of it. It is read
/// as the file would have it, else as text, else as words divided by commas;
/// the first that is accepted is what was meant.
///
/// # Errors
/// The refusal that says most: rather of the content than of its type.
pub(super) fn read<T>(text: &str, accept: impl Fn(&Value) -> Result<T, Error>) -> Result<(Value, T), Error> {
    let as_written: Result<toml::Table, _> = toml::from_str(&format!("value = {text}"));
    let as_written = as_written.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    let as_text = Value::String(text.to_owned());
    let words = text.split(',').map(|word| Value::String(word.trim().to_owned()));
    let as_words = Value::Array(words.filter(|word| word.as_str() != Some("")).collect());
    let mut refusal: Option<Error> = None;
    for value in as_written.into_iter().chain([as_text, as_words]) {
        match accept(&value) {
            Ok(accepted) => return Ok((value, accepted)),
            Err(error) if refusal.as_ref().is_none_or(|known| is_of_type(known) && !is_of_type(&error)) => {
                refusal = Some(error);
            }
            Err(_) => {}
        }
    }
    Err(refusal.expect("text was tried, and refused"))
}

fn is_of_type(error: &Error) -> bool {
    error.message().starts_with("invalid type")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::config::Listen;

    fn read_as<'de, T: Deserialize<'de>>(text: &str) -> Result<T, String> {
        read(text, |value| T::deserialize(value.clone())).map(|(_, read)| read).map_err(|error| error.message().into())
    }

    #[test]
    fn the_first_reading_that_fits_is_meant() {
        assert_eq!(read_as::<bool>("true"), Ok(true));
        assert_eq!(read_as::<String>("true"), Ok("true".to_owned()));
        assert_eq!(read_as::<String>("\"quoted\""), Ok("quoted".to_owned()));
        assert_eq!(read_as::<String>("a, b"), Ok("a, b".to_owned()));
        assert_eq!(read_as::<Vec<String>>("a, b"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(read_as::<Vec<String>>("[\"a\"]"), Ok(vec!["a".to_owned()]));
        assert_eq!(read_as::<Vec<String>>(""), Ok(vec![]));
    }

    #[test]
    fn text_with_a_line_of_its_own_sets_nothing_else() {
        assert_eq!(read_as::<String>("1\nother = 2"), Ok("1\nother = 2".to_owned()));
    }

    #[test]
    fn the_refusal_is_of_the_content_where_one_is() {
        assert!(read_as::<Listen>("nowhere").unwrap_err().contains("neither a port"));
        assert!(read_as::<u32>("-5").unwrap_err().contains("`-5`"));
        assert!(read_as::<bool>("maybe").unwrap_err().contains("boolean"));
    }
}
