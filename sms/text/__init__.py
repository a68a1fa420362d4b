"""What a text is made of: alphabets, segments, templates. Strings in, values out."""
