"""The API's nouns as seen from outside, on the small codec."""
