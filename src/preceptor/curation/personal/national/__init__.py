"""Numbers by which states know people: a form, a check of its digits, and words where the form alone says too little."""
