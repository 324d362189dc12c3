"""The vocabulary: types, time, series, batches, predicates, partial states and the Store protocol."""
