"""The process that owns one container; imports almost nothing."""
