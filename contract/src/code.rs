//! The response codes: each number, what it means, and the HTTP status that carries it.

macro_rules! codes {
    ($($name:ident = $number:literal, $http_status:literal, $meaning:literal;)*) => {
        /// A response code of the envelope. Published meanings never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i16)]
        pub enum Code { $(#[doc = $meaning] $name = $number,)* }

        impl Code {
            /// Every code, in the order of its number.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// What the code means, in plain English.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => $meaning,)* }
            }

            /// The HTTP status that goes with the code. A pending top-up is 202 when it is sent
            /// and 200 when it is looked up; this gives the former.
            pub fn http_status(self) -> u16 {
                match self { $(Code::$name => $http_status,)* }
            }
        }
    };
}

codes! {
    Success = 1000, 200, "Success";
    Delivered = 1001, 200, "Top-up delivered";
    Pending = 1002, 202, "Top-up pending";
    Failed = 1003, 200, "Top-up failed, funds returned";
    InvalidRequest = 2000, 400, "Invalid request";
    InvalidApiKey = 2001, 401, "Invalid API key";
    InsufficientBalance = 2002, 402, "Insufficient balance";
    InvalidPlatform = 2003, 422, "Invalid platform";
    InvalidRecipientEmail = 2004, 422, "Invalid recipient email";
    AmountOutOfRange = 2005, 422, "Amount out of range";
    DuplicateTransaction = 2006, 409, "Duplicate transaction";
    KeyCapExceeded = 2007, 402, "Key cap exceeded";
    KeyNotPermitted = 2008, 403, "Key not permitted";
    Cancelled = 3001, 200, "Cancelled successfully";
    AlreadyDelivered = 3002, 409, "Cannot cancel: already delivered";
    TransactionNotFound = 3003, 404, "Transaction not found";
    AlreadyFailed = 3004, 409, "Cannot cancel: already failed";
    VoucherNotFound = 3005, 404, "Voucher not found";
    VoucherRedeemed = 3006, 409, "Voucher already redeemed";
    UnknownEndpoint = 4000, 404, "Unknown endpoint";
    RateLimitExceeded = 4001, 429, "Rate limit exceeded";
    IpNotWhitelisted = 4002, 403, "IP not whitelisted";
    MethodNotAllowed = 4003, 405, "Method not allowed";
    BodyTooLarge = 4004, 413, "Body too large";
    UnsupportedMediaType = 4005, 415, "Unsupported media type";
    InternalError = 5000, 500, "Internal error";
    WebhookDeliveryFailed = 5001, 502, "Webhook delivery failed";
    WebhookUrlInvalid = 5002, 422, "Webhook URL invalid";
    ServiceUnavailable = 5003, 503, "Service unavailable";
    WebhookNotFound = 5004, 404, "Webhook not found";
}

impl Code {
    /// The number that clients see.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// Whether the envelope says `"success": true`.
    pub fn is_success(self) -> bool {
        matches!(self, Code::Success | Code::Delivered | Code::Pending | Code::Cancelled)
    }
}
