//! What the forms of the checkout page send.

use url::form_urlencoded;

/// Fields of a form, as they were typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Form {
    pub action: String,
    pub number: String,
    pub exp: String,
    pub cvc: String,
    pub name: String,
    pub save_card: bool,
    /// The card that is to be confirmed, by what stands for it.
    pub method: String,
}

impl Form {
    /// Fields that it does not know are ignored; of one that comes twice the last counts.
    pub fn parse(body: &[u8]) -> Self {
        let mut form = Form::default();
        for (name, value) in form_urlencoded::parse(body) {
            let field = match name.as_ref() {
                "action" => &mut form.action,
                "number" => &mut form.number,
                "exp" => &mut form.exp,
                "cvc" => &mut form.cvc,
                "name" => &mut form.name,
                "method" => &mut form.method,
                "save_card" => {
                    form.save_card = !value.is_empty();
                    continue;
                }
                _ => continue,
            };
            *field = value.into_owned();
        }
        form
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_a_browser_sends_it() {
        let form =
            Form::parse(b"action=pay&number=4242+4242&exp=12%2F34&cvc=123&name=Zo%C3%AB&save_card=1&x=y");
        assert_eq!((form.action.as_str(), form.number.as_str()), ("pay", "4242 4242"));
        assert_eq!((form.exp.as_str(), form.name.as_str(), form.save_card), ("12/34", "Zoë", true));
        assert_eq!(Form::parse(b"%ff=&&=\xff"), Form::default());
    }
}
