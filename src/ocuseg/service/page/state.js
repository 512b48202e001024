// What is looked at: the models, the pictures and what was seen in them, and what was chosen for each model.

export const state = {
  info: null, // what the service says of itself
  model: null, // the one that is looked at, a part of `info`
  current: null, // the picture that is looked at, one of `entries`
  pictured: null, // the one whose picture the stage has
  entries: [], // {name, file, seen: name of model -> what it saw, problem: name of model -> text, asked: names}
  steps: new Map(), // name of model -> threshold in 1 / 200, absent for its own
  hidden: new Map(), // name of model -> ids of the classes that are switched off
  coverShown: true,
};

export const stepNow = () => state.steps.get(state.model.name) ?? null;
export const seenNow = () => state.current?.seen.get(state.model.name) ?? null;
export const isTwo = () => state.model.classes.length === 2;
