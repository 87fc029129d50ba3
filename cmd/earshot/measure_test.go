package main

// measureChild is the program as measureModel starts it again.
func measureChild() { main() }
