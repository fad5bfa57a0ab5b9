// Package nested reads fields of unstructured objects.
//
// In: a value decoded from JSON and field names. Out: the nested map, list or number, or its zero
// value if the field is absent or has another type. Nothing is copied.
package nested
