//! Which operation answers a method and a path.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::Method;
use percent_encoding::percent_decode_str;

use crate::operation::Operation;
use crate::postgres::catalog_row::CatalogFault;
use crate::response_format::ResponseFormat;

/// The routes of one catalog.
#[derive(Default)]
pub struct Routes {
    router: matchit::Router<Vec<Route>>,
}

struct Route {
    operation: Arc<Operation>,
    /// The request's fields in the order in which they stand in the path.
    fields: Vec<String>,
}

/// What was found for a method and a path.
pub enum Found {
    /// The operation, with the decoded parts of the path.
    Operation(Arc<Operation>, Vec<(String, String)>),
    /// The path exists for other methods; these, on this surface.
    OtherMethods(String, ResponseFormat),
    /// A part of the path is not UTF-8 once decoded.
    NotText,
    Nothing,
}

impl Routes {
    /// Routes for all operations that HTTP can reach; an error where a path is none, or stands in another's way.
    pub fn new(operations: &[Arc<Operation>]) -> Result<Self, CatalogFault> {
        let mut paths: BTreeMap<String, Vec<Route>> = BTreeMap::new();
        for operation in operations {
            let (Some(_), Some(path)) = (&operation.method, &operation.path) else { continue };
            let (pattern, fields) =
                pattern(path).ok_or_else(|| CatalogFault::unknown(&operation.name, "the path", path))?;
            paths.entry(pattern).or_default().push(Route { operation: operation.clone(), fields });
        }
        let mut router = matchit::Router::new();
        for (pattern, routes) in paths {
            let name = routes.first().map(|route| route.operation.name.clone()).unwrap_or_default();
            let inserted = router.insert(&pattern, routes);
            inserted
                .map_err(|error| CatalogFault::unknown(&name, &format!("({error}) the path"), &pattern))?;
        }
        Ok(Routes { router })
    }

    /// HEAD is answered like GET.
    pub fn find(&self, method: &Method, path: &str) -> Found {
        let Ok(found) = self.router.at(path) else { return Found::Nothing };
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        let Some(route) = found.value.iter().find(|route| route.operation.method.as_ref() == Some(wanted))
        else {
            let format = found.value.first().map(|route| route.operation.format).unwrap_or_default();
            return Found::OtherMethods(allow(found.value), format);
        };
        let mut parts = Vec::with_capacity(route.fields.len());
        for (field, (_, encoded)) in route.fields.iter().zip(found.params.iter()) {
            match percent_decode_str(encoded).decode_utf8() {
                Ok(text) => parts.push((field.clone(), text.into_owned())),
                Err(_) => return Found::NotText,
            }
        }
        Found::Operation(route.operation.clone(), parts)
    }
}

fn allow(routes: &[Route]) -> String {
    let mut methods: Vec<&str> =
        routes.iter().filter_map(|route| route.operation.method.as_ref()).map(Method::as_str).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.sort_unstable();
    methods.dedup();
    methods.join(", ")
}

/// The path with its fields numbered (`/a/{p0}`), because two operations may name the same place
/// differently, and the names. Nothing when the path is malformed.
fn pattern(path: &str) -> Option<(String, Vec<String>)> {
    let mut fields = Vec::new();
    let mut pattern = String::new();
    for segment in path.strip_prefix('/')?.split('/') {
        pattern.push('/');
        match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if !name.is_empty() && !name.contains(['{', '}', '*']) => {
                pattern.push_str(&format!("{{p{}}}", fields.len()));
                fields.push(name.to_owned());
            }
            None if !segment.contains(['{', '}']) => pattern.push_str(segment),
            _ => return None,
        }
    }
    Some((pattern, fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let operations: Vec<_> = [
            ("list", Method::GET, "/v1/hooks"),
            ("delete", Method::DELETE, "/v1/hooks/{id}"),
            ("test", Method::POST, "/v1/hooks/{hook}/test"),
            ("log", Method::GET, "/v1/hooks/deliveries"),
        ]
        .into_iter()
        .map(|(name, method, path)| Arc::new(Operation::for_route(name, method, path)))
        .collect();
        Routes::new(&operations).unwrap()
    }

    fn find(method: Method, path: &str) -> String {
        match routes().find(&method, path) {
            Found::Operation(operation, parts) => {
                let parts: Vec<String> = parts.iter().map(|(name, text)| format!(" {name}={text}")).collect();
                format!("{}{}", operation.name, parts.concat())
            }
            Found::OtherMethods(allow, _) => format!("allow {allow}"),
            Found::NotText => "not text".into(),
            Found::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn method_and_path_lead_to_the_operation() {
        assert_eq!(find(Method::GET, "/v1/hooks"), "list");
        assert_eq!(find(Method::HEAD, "/v1/hooks"), "list");
        assert_eq!(find(Method::DELETE, "/v1/hooks/whk_1"), "delete id=whk_1");
        assert_eq!(find(Method::POST, "/v1/hooks/a%2Fb%20c/test"), "test hook=a/b c");
        assert_eq!(find(Method::GET, "/v1/hooks/deliveries"), "log");
    }

    #[test]
    fn a_path_that_is_none_is_refused() {
        for path in ["v1/{", "/a/{}", "/{*rest}", ""] {
            let operation = Arc::new(Operation::for_route("broken", Method::GET, path));
            let Err(CatalogFault::Unknown(message)) = Routes::new(&[operation]) else { panic!("{path}") };
            assert!(message.contains("broken"), "{message}");
        }
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        assert_eq!(find(Method::POST, "/v1/hooks"), "allow GET, HEAD");
        assert_eq!(find(Method::GET, "/v1/hooks/x"), "allow DELETE");
        assert_eq!(find(Method::GET, "/v1/hooks/"), "nothing");
        assert_eq!(find(Method::GET, "/v1"), "nothing");
        assert_eq!(find(Method::DELETE, "/v1/hooks/%ff"), "not text");
    }
}
