"""The embedded corpus: talkers that speak and are seen, noises, music and rooms, all made from a seed and from no file."""
