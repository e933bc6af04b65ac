"""Hold frequent given names, by which a name in free text is told from other words in capitals.

Some four hundred that were frequent in the United States and Europe in the last hundred years. What is a place, a month, a
virtue or another everyday word as well (Virginia, April, Grace, Grant, Mark) is left out on purpose.
"""

_NAMES = """
Aaron Abigail Adam Adele Adrian Agnes Agnieszka Ahmed Aisha Alan Albert Alejandro Alessandro Alex Alexander Alexandra Alfred
Alice Alicia Alison Allison Amanda Amelia Amy Ana Anastasia Andrea Andreas Andrew Andrzej Angela Anita Ann Anna Anne Annette
Anthony Antoine Antonio Ashley Astrid Barbara Beatrice Becky Benjamin Bernard Bernd Beth Betty Beverly Birgit Bonnie Boris
Bradley Brandon Brenda Brian Brigitte Bruce Bryan Camille Carl Carla Carlos Carmen Carol Caroline Carolyn Catherine Cathy Cecilia
Chantal Charles Cheryl Chloe Chris Christina Christine Christopher Claire Clara Claudia Connie Craig Cynthia Daniel Daniela
Danielle David Deborah Debra Denise Dennis Derek Diana Diane Diego Dieter Dimitri Dmitri Dominique Donald Donna Dorothy Douglas
Dylan Edith Eduardo Edward Eileen Elaine Eleanor Elena Elisabeth Elizabeth Ella Ellen Elsa Emily Emma Enrique Eric Erica Erik
Erika Ernst Esther Ethan Eugene Eva Evelyn Fatima Felipe Fernando Florian Frances Francesca Francesco Francisco Frank Franz Fred
Frederick Friedrich Gabriel Gabriela Gary Gerald Gerard Gerhard Gertrude Gianluca Gina Giorgio Giovanni Gisela Giulia Gloria Gordon
Greg Gregory Guillaume Gunther Gustav Hannah Hans Harold Harriet Harry Hassan Heather Heidi Heinrich Heinz Helen Helena Helga
Henri Henry Herbert Hiroshi Howard Hugo Ian Ibrahim Ingrid Irene Isaac Isabel Isabella Ivan Jaime Jakob James Jamie Jan Jane Janet
Janice Jason Javier Jean Jeff Jeffrey Jennifer Jeremy Jerry Jesse Jessica Jim Joan Joanna Joe Joel Johann Johannes John Jonas Jonathan
Jorge Jose José Josef Joseph Joshua Joyce Juan Juanita Judith Judy Julia Julian Julie Jürgen Justin Kaitlyn Karen Karin Karl
Katarzyna Kate Katharina Katherine Kathleen Kathryn Katie Keith Kelly Kenneth Kevin Kimberly Klaus Kristen Kristin Kumar Kurt Kyle Larry
Lars Laura Lauren Lawrence Leah Leonardo Leslie Liam Linda Lisa Lorenzo Lori Louis Louise Luca Lucas Lucia Lucy Luis Luisa Lukas Lydia
Magdalena Manfred Manuel Marcel Marco Marcus Margaret Margarita Maria María Mariana Marie Marilyn Mario Marion Marjorie Martha Martin
Martina Mary Maryam Mathieu Matteo Matthew Matthias Maureen Megan Mehmet Melanie Melissa Michael Michel Michelle Miguel Mikhail
Mohamed Mohammad Mohammed Monica Monika Muhammad Nancy Natalia Natalie Natasha Nathan Nathaniel Nicholas Nicolas Nicole Nikolai Noah
Nora Norman Olga Oliver Olivia Omar Otto Pablo Pamela Patricia Patrick Paul Paula Pauline Pedro Peggy Peter Petra Philip Philippe
Phyllis Pierre Pietro Piotr Priya Rachel Rafael Rajesh Ralph Ramon Raymond Rebecca Renate Renee Ricardo Richard Robert Roberta Roberto
Rodrigo Roger Ronald Rosa Rosemary Roxanne Russell Ruth Ryan Sabine Salvatore Samantha Samuel Sandra Sara Sarah Scott Sebastian
Sergei Sergio Sharon Sheila Shirley Simon Simone Sofia Sophia Sophie Stefan Stefanie Stephanie Stephen Steve Steven Stuart Susan
Susanne Suzanne Svetlana Sylvia Tamara Tanya Tara Teresa Terry Theodore Theresa Thomas Tiffany Timothy Tina Todd Tomasz Tracy Ulrich
Ursula Valentina Valerie Vanessa Vera Veronica Victor Vincent Vivian Vladimir Walter Wanda Wei Wendy Werner Wilhelm William Wolfgang Xavier
Yolanda Yuki Yusuf Yvonne Zachary Zoe
"""
GIVEN_NAMES = frozenset(_NAMES.split())
